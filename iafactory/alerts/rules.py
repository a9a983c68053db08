"""The rules, in one table: what is measured, from where on it is told at which level, in which words, and what to do.

A rule measures (`readings`), the table judges. Adding a rule is one function there and one entry here.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext_lazy as _

from accounts.deadline import TooLate
from accounts.fresh import StoreAway, release_connection
from usage.errors import NotNow

from . import readings
from .readings import Reading

logger = logging.getLogger(__name__)


class Level(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Rule:
    """`warning` and `critical` are where the levels begin: a figure, or how to find it. `over`: only above them.

    `told_from` is the level from which it is sent; below that it is only shown.
    """

    name: str
    measure: Callable[[], Iterable[Reading]]
    message: Any
    action: Any
    warning: "Decimal | Callable[[], Decimal] | None" = None
    critical: "Decimal | Callable[[], Decimal] | None" = None
    over: bool = False
    told_from: Level = Level.WARNING
    # Whether it can be measured, and told, while PostgreSQL is away.
    without_postgres: bool = False
    # Whether measuring it asks PostgreSQL: where that is known to be away, nobody waits for it once more.
    asks_postgres: bool = False

    def level(self, amount: Decimal) -> Level | None:
        for level in (Level.CRITICAL, Level.WARNING):
            bound = self.bound(level)
            if bound is not None and (amount > bound if self.over else amount >= bound):
                return level
        return None

    def bound(self, level: Level) -> Decimal | None:
        bound = self.critical if level is Level.CRITICAL else self.warning
        return bound() if callable(bound) else bound


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that is so now. `subject` tells several of one rule apart: a provider, a key."""

    rule: Rule
    subject: str
    level: Level
    values: Mapping[str, Any]
    since: datetime
    words: Any = None

    @property
    def message(self) -> str:
        """In the language that is active."""
        return str(self.words or self.rule.message) % self.values

    @property
    def action(self) -> str:
        return str(self.rule.action) % self.values

    @property
    def told(self) -> bool:
        """Whether it is sent, and not only shown."""
        return self.level is Level.CRITICAL or self.rule.told_from is Level.WARNING

    def as_json(self) -> dict[str, str]:
        """As the dashboard has it."""
        return {
            "level": str(self.level),
            "message": self.message,
            "action": self.action,
            "timestamp": self.since.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the rules found. A rule that is not among `judged` could not be asked: nobody knows."""

    alerts: Sequence[Alert]
    judged: frozenset[str]


def standing() -> list[Alert]:
    """What is wrong now, the worst first, and since when as far as that is recorded."""
    alerts = sorted(look().alerts, key=lambda alert: (alert.level is not Level.CRITICAL, RULE_ORDER[alert.rule.name]))
    return list(since_when(alerts))


def look(rules: Iterable[Rule] | None = None) -> Look:
    now = datetime.now(UTC)
    alerts: list[Alert] = []
    judged: set[str] = set()
    for rule in RULES if rules is None else rules:
        if rule.asks_postgres and any(alert.rule is POSTGRES for alert in alerts):
            continue
        try:
            alerts += judge(rule, now)
        except (NotNow, DatabaseError, StoreAway, TooLate) as error:
            # That PostgreSQL or Redis is away is an alert of its own.
            logger.warning("Error: the alert rule %s cannot be asked (%s)", rule.name, type(error).__name__)
            release_connection()
        else:
            judged.add(rule.name)
    return Look(alerts, frozenset(judged))


def judge(rule: Rule, now: datetime) -> Iterator[Alert]:
    for reading in list(rule.measure()):
        level = rule.level(reading.amount)
        if level is not None:
            yield Alert(rule, reading.subject, level, reading.values, now, reading.words)


def since_when(alerts: Sequence[Alert]) -> Iterator[Alert]:
    from .models import Incident

    try:
        begun = Incident.objects.begun()
    except DatabaseError:
        begun = {}
    for alert in alerts:
        since = begun.get((alert.rule.name, alert.subject), alert.since)
        yield Alert(alert.rule, alert.subject, alert.level, alert.values, since, alert.words)


def budget_level(percent: Decimal) -> str:
    """`ok`, `warning` or `critical`: the dashboard's `alert_level`."""
    return str(BUDGET.level(percent) or "ok")


BUDGET = Rule(
    name="budget",
    measure=readings.budget,
    warning=Decimal(75),
    critical=Decimal(90),
    message=_("Daily budget at %(percent)s%%! Automatic switch to Groq is imminent."),
    action=_("Raise DAILY_BUDGET_USD or wait until midnight"),
)

POSTGRES = Rule(
    name="postgres",
    measure=readings.postgres,
    critical=Decimal(1),
    message=_("PostgreSQL does not answer."),
    action=_("Start PostgreSQL again; calls of known users go on for ten minutes, and their rows wait in Redis"),
    without_postgres=True,
)

KEY = Rule(
    name="key",
    measure=readings.keys,
    asks_postgres=True,
    warning=Decimal(1),
    critical=Decimal(2),
    message=_("%(provider)s refuses key no. %(ordinal)s of %(variable)s."),
    action=_("Replace it at %(console)s, then run manage.py check_keys"),
)

RULES: tuple[Rule, ...] = (
    POSTGRES,
    Rule(
        name="redis",
        measure=readings.redis,
        critical=Decimal(1),
        message=_("Redis does not answer: every call is refused."),
        action=_("Start Redis again; it recovers by itself what it had lost"),
        without_postgres=True,
    ),
    Rule(
        name="redis_memory",
        measure=readings.redis_memory,
        warning=Decimal(75),
        critical=Decimal(90),
        message=_("Redis has filled %(percent)s%% of its memory."),
        action=_("Raise Redis's maxmemory: when it is full every call is refused"),
    ),
    BUDGET,
    Rule(
        name="usage_waiting",
        measure=readings.usage_waiting,
        warning=Decimal(60),
        critical=Decimal(600),
        message=_("The usage log is %(seconds)s s behind the calls; %(rows)s rows wait in Redis."),
        action=_("See whether drain_usage runs, and what it logs"),
    ),
    Rule(
        name="usage_backlog",
        measure=readings.usage_backlog,
        warning=Decimal(25),
        critical=Decimal(75),
        message=_(
            "%(rows)s usage rows wait in Redis: %(percent)s%% of USAGE_BACKLOG_LIMIT, at which calls are refused."
        ),
        action=_("See whether drain_usage runs and PostgreSQL keeps up"),
    ),
    Rule(
        name="dead_letters",
        measure=readings.dead_letters,
        asks_postgres=True,
        warning=Decimal(1),
        message=_("Usage rows that the table refused today: %(count)s."),
        action=_("Look at the dead letters in the admin; their costs are counted"),
    ),
    KEY,
    Rule(
        name="payment_mismatches",
        measure=readings.payment_mismatches,
        asks_postgres=True,
        critical=Decimal(1),
        message=_("Payments that wait for a decision: %(count)s."),
        action=_("Open each in the admin: its reason says why it was not applied. Then settle it again or refund it"),
    ),
    Rule(
        name="payments_pending",
        measure=readings.payments_pending,
        asks_postgres=True,
        warning=Decimal(1),
        critical=Decimal(10),
        message=_("Payments pending for over an hour: %(count)s."),
        action=_("Run manage.py reconcile_payments; see whether Chargily answers"),
    ),
    Rule(
        name="provider_errors",
        measure=readings.provider_errors,
        asks_postgres=True,
        warning=Decimal(5),
        critical=Decimal(50),
        over=True,
        message=_("%(provider)s fails: %(percent)s%% of today's %(calls)s calls were errors."),
        action=_("See its errors in the usage log; calls are served by the other routes meanwhile"),
    ),
    Rule(
        name="abusive_users",
        measure=readings.abusive_users,
        asks_postgres=True,
        warning=lambda: Decimal(settings.ABUSIVE_USERS_ALERT),
        message=_("Users with more than %(messages)s messages today: %(count)s."),
        action=_("Look at them on the dashboard, and suspend those who abuse"),
    ),
    Rule(
        name="margin",
        measure=readings.margin,
        asks_postgres=True,
        warning=Decimal(1),
        critical=Decimal(2),
        # Most days begin without a sale: shown at once, told when it lasts.
        told_from=Level.CRITICAL,
        message=_("Negative margin: today's costs are %(usd)s USD above today's revenue."),
        action=_("Compare the tiers' prices with what their users cost on the dashboard"),
    ),
    Rule(
        name="overruns",
        measure=readings.overruns,
        warning=Decimal(1),
        message=_("Bills above their hold today: %(count)s, by %(usd)s USD in all."),
        action=_("Compare the model's prices in the admin with its provider's; run manage.py load_models"),
    ),
)
RULE_ORDER = {rule.name: place for place, rule in enumerate(RULES)}
