"""What the rules look at. Each yields what it measured; whether that is too much is for the table to say."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from billing import reports as payments
from iafactory import probes
from iafactory.keys.checking import Outcome
from iafactory.keys.results import bad_keys
from usage import budget as the_budget
from usage import watch
from usage.clock import today
from usage.ledger import day_bounds
from usage.models import DeadLetter
from usage.reports import heavy_users, history

# With fewer calls than this a rate of errors says nothing.
FEWEST_CALLS = 20
# A checkout lives for half an hour.
PENDING_HOURS = 1
MARGIN_DAYS = 30
AGAIN_SECONDS = 2.0

LASTING_LOSS = _("Negative margin: in the last %(days)s days costs were %(usd)s USD above revenue.")
KEY_WORDS = {
    Outcome.OUT_OF_CREDIT: _("Key no. %(ordinal)s of %(variable)s has no credit left at %(provider)s."),
    Outcome.MISPLACED: _("Key no. %(ordinal)s of %(variable)s is another provider's: it is not sent to %(provider)s."),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """`values` are for the sentences; `words` is a sentence that fits better than the rule's own."""

    amount: Decimal
    values: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    words: Any = None


def postgres() -> Iterator[Reading]:
    yield Reading(Decimal(not answers(probes.postgres_answers)))


def redis() -> Iterator[Reading]:
    """Away, or refusing what it is told: its disk is full, say."""
    if not answers(probes.redis_answers):
        yield Reading(Decimal(1))
    elif not watch.redis_state().writes:
        yield Reading(Decimal(1), words=_("Redis cannot write to its disk: what it is told now may be lost."))


def answers(probe: Callable[[], bool]) -> bool:
    """Asked again after a moment: a restart is no trouble yet."""
    if probe():
        return True
    time.sleep(AGAIN_SECONDS)
    return probe()


def redis_memory() -> Iterator[Reading]:
    full = watch.redis_state().percent_full
    yield Reading(Decimal(full), {"percent": full})


def budget() -> Iterator[Reading]:
    percent = the_budget.percent_used(the_budget.counters().spent)
    words = None
    if percent >= 100:
        words = _("Daily budget at %(percent)s%%! Paid calls are served by Groq.")
    elif percent < 90:
        words = _("Daily budget at %(percent)s%%! Automatic switch to Groq at 100%%.")
    yield Reading(percent, {"percent": percent}, words=words)


def usage_waiting() -> Iterator[Reading]:
    behind = watch.backlog()
    yield Reading(Decimal(behind.seconds), {"seconds": behind.seconds, "rows": behind.rows})


def usage_backlog() -> Iterator[Reading]:
    rows = watch.backlog().rows
    percent = Decimal(100 * rows) / settings.USAGE_BACKLOG_LIMIT
    yield Reading(percent, {"rows": rows, "percent": round(percent)})


def dead_letters() -> Iterator[Reading]:
    count = DeadLetter.objects.filter(created_at__date=today()).count()
    yield Reading(Decimal(count), {"count": count})


def keys() -> Iterator[Reading]:
    """1 for a key that its provider refuses, 2 where no other key is left."""
    for bad in bad_keys():
        target = bad.target
        values = {
            "provider": target.provider,
            "ordinal": target.ordinal,
            "variable": target.variable,
            "console": target.console,
        }
        yield Reading(Decimal(2 if bad.last else 1), values, target.subject, KEY_WORDS.get(bad.outcome))


def provider_errors() -> Iterator[Reading]:
    # The roll-ups are exact, and this is asked for every look at the dashboard.
    for provider, spend in history.by_provider(today(), today()).items():
        if spend.calls >= FEWEST_CALLS:
            percent = Decimal(100 * spend.errors) / spend.calls
            values = {"provider": provider, "percent": round(percent, 1), "calls": spend.calls}
            yield Reading(percent, values, provider)


def abusive_users() -> Iterator[Reading]:
    count = len(heavy_users.abusive_users(today()))
    yield Reading(Decimal(count), {"count": count, "messages": heavy_users.ABUSIVE_MESSAGES})


def payments_pending() -> Iterator[Reading]:
    count = payments.pending_for_over(PENDING_HOURS).count()
    yield Reading(Decimal(count), {"count": count})


def payment_mismatches() -> Iterator[Reading]:
    count = payments.mismatches().count()
    yield Reading(Decimal(count), {"count": count})


def margin() -> Iterator[Reading]:
    """1 where today's costs are above today's revenue, 2 where those of the last days are too."""
    day = today()
    first = day - timedelta(days=MARGIN_DAYS - 1)
    today_lost = history.cost(day, day) - payments.revenue_of_day(day).usd
    if today_lost <= 0:
        return
    revenue = payments.revenue(day_bounds(first)[0], day_bounds(day)[1]).usd
    lost = history.cost(first, day) - revenue
    values = {"usd": f"{lost if lost > 0 else today_lost:.2f}", "days": MARGIN_DAYS}
    yield Reading(Decimal(2 if lost > 0 else 1), values, words=LASTING_LOSS if lost > 0 else None)


def overruns() -> Iterator[Reading]:
    found = watch.overruns(today())
    yield Reading(Decimal(found.count), {"count": found.count, "usd": f"{found.usd:f}"})
