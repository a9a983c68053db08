"""The clock of the money is Redis's, so that all processes have one; this is what a call tells it."""

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

SECOND = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone() -> ZoneInfo:
    """Where the product's day begins and ends."""
    return ZoneInfo(settings.TIME_ZONE)


def utc_offset() -> int:
    """Seconds by which the zone is ahead of UTC now."""
    offset = datetime.now(zone()).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def today() -> date:
    """The product's day by this machine's clock; where money is decided, Redis's clock names it."""
    return datetime.now(zone()).date()


def shift() -> int:
    """Microseconds added to Redis's clock: none, but in tests."""
    return round(settings.CLOCK_SHIFT_SECONDS * SECOND)


def seconds() -> float:
    """Now, in seconds since the epoch, by this machine: close to Redis's clock, but not the money's."""
    return time.time() + shift() / SECOND


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def day_of(microseconds: int) -> date:
    return moment(microseconds).astimezone(zone()).date()
