"""The day's budget: where it stands, its rebuilding from the ledger, and its reset by an operator."""

import logging
import time
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction

from accounts.audit import record
from accounts.deadline import TooLate, at_most
from accounts.fresh import release_connection
from billing.money import dollars

from .clock import SECOND
from .errors import Recovering
from .ledger import day_total
from .models import BudgetReset
from .process import this_process
from .rebuilding import reset_offset
from .redis import reaching_redis

logger = logging.getLogger(__name__)

TRIES = 20
PAUSE_SECONDS = 0.05
RECOUNT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Counters:
    """The live counters of the day and of one user. Money in nano-dollars, `rate_reset` in seconds from now."""

    day: date
    now: float
    resets_at: int
    paid_open: bool
    spent: int
    held: int
    user_spent: int
    user_held: int
    messages: int
    recent: int
    rate_reset: float
    backlog: int


def limit() -> int:
    """The day's cap in nano-dollars (rounded down: a cap is not exceeded by rounding)."""
    return int(settings.DAILY_BUDGET_USD.scaleb(9))


def percent_used(spent: int) -> Decimal:
    """Of the day's cap, to one decimal, as people read it. A cap of nothing is used up."""
    if not limit():
        return Decimal("100.0")
    return (Decimal(100 * spent) / limit()).quantize(Decimal("0.1"), ROUND_HALF_UP)


def counters(user_id: int = 0) -> Counters:
    """Where the budget, and this user, stand now. Raises `NotNow`."""
    for _ in range(TRIES):
        status, found = this_process().execute("peek", {"user": user_id})
        if status == "rebuild":
            recount(found["day"])
            continue
        return Counters(
            day=date.fromisoformat(found["day"]),
            now=found["now"] / SECOND,
            resets_at=found["midnight"] // SECOND,
            paid_open=found["state"] == "open",
            spent=found["spent"],
            held=found["held"],
            user_spent=found["user_spent"],
            user_held=found["user_held"],
            messages=found["quota_used"],
            recent=found["recent"],
            rate_reset=found["rate_reset"] / SECOND,
            backlog=found["backlog"],
        )
    raise Recovering


def recount(day: str) -> None:
    """Build the missing counter of `day` again from the ledger, or wait a moment for the process that is at it."""
    with reaching_redis() as redis:
        # Should the one that counts die, the next one may after a second.
        mine = redis.set("budget:recounting", this_process().id, nx=True, px=1000)
    if not mine:
        time.sleep(PAUSE_SECONDS)
        return
    try:
        with at_most(RECOUNT_SECONDS):
            found = _recount(date.fromisoformat(day), offset=reset_offset(date.fromisoformat(day)))
    except (DatabaseError, TooLate) as error:
        raise Recovering from error
    finally:
        release_connection()
        with reaching_redis() as redis:
            redis.delete("budget:recounting")
    if found:
        logger.warning("Budget counter rebuilt from the ledger: %s USD", dollars(found["after"]))


def reset(*, by: str) -> BudgetReset:
    """Begin the day's counter again at zero, and write down who did and what the ledger said at that instant.

    The row is committed after the counter is zero: if that fails, a later rebuild counts everything, which is the
    safe side.
    """
    for _ in range(TRIES):
        day = counters().day
        with transaction.atomic():
            found = _recount(day, reset=True)
            if found:
                record("budget.reset", by=by, subject=f"day {day}")
                return BudgetReset.objects.create(
                    day=day,
                    by=by,
                    before_usd=dollars(found["before"]) if found["before"] >= 0 else None,
                    ledger_usd=dollars(found["ledger"]),
                )
    raise Recovering


def _recount(day: date, *, offset: int = 0, reset: bool = False) -> dict[str, Any] | None:
    """One try; None when the drainer or midnight went by in the middle of it."""
    total = day_total(day)
    if total is None:
        return None
    status, found = this_process().execute(
        "recount",
        {
            "day": day.isoformat(),
            "base": total.amount,
            "table_mark": total.table_mark,
            "read_to": total.read_to,
            "offset": offset,
            "reset": reset,
        },
    )
    return found if status == "ok" else None
