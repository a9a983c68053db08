"""When an API key was last used, to the minute: one write a minute, not one a call."""

import logging
import time
from datetime import timedelta

from django.db import DatabaseError
from django.utils import timezone

from . import holders
from .deadline import TooLate, at_most
from .fresh import is_away, release_connection
from .holders import KeyUse

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
# A caller waits no longer than this for the note; it never waits for a locked row. Longer than the pool's own time-out.
NOTE_SECONDS = 2.0
MOST_KEYS = 50_000

# Id of a key -> when its use is to be noted again, in seconds since the epoch.
_due: dict[int, float] = {}


def saw(use: KeyUse) -> None:
    """Take over what PostgreSQL has: another process may have noted a use meanwhile."""
    if len(_due) >= MOST_KEYS:
        _due.clear()
    noted = 0.0 if use.last_used_at is None else use.last_used_at.timestamp()
    _due[use.id] = max(_due.get(use.id, 0.0), noted + EVERY_SECONDS)


def note(key_id: int) -> None:
    """Write the use down if the last note is a minute old. A failure is logged; the next try comes after a minute."""
    now = time.time()
    if now < _due.get(key_id, 0.0) or is_away():
        return
    # Before the write: of many calls at once one writes, and a failing write is not tried by each call.
    _due[key_id] = now + EVERY_SECONDS
    moment = timezone.now()
    try:
        with at_most(NOTE_SECONDS):
            holders.note_use(key_id, now=moment, before=moment - timedelta(seconds=EVERY_SECONDS))
    except (DatabaseError, TooLate) as error:
        release_connection()
        logger.warning("Error: the last use of API key %d is not noted (%s)", key_id, type(error).__name__)


def forget() -> None:
    _due.clear()
