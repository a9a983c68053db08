"""The figures of the dashboard. The budget is the live counter; what was spent is from the exact sums of the table."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from billing import reports as sales
from billing.money import dollars
from iafactory.alerts.rules import budget_level
from usage import budget as the_budget
from usage.clock import zone
from usage.ledger import day_bounds
from usage.reports import history

CENT = Decimal("0.01")
TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the day's money stands at this instant, in dollars. `now` is the clock of the money."""

    day: date
    now: datetime
    spent: Decimal
    held: Decimal
    limit: Decimal
    percent: Decimal
    level: str
    paid_open: bool

    @property
    def remaining(self) -> Decimal:
        """Below zero where an operator set the counter, or a bill was above its hold."""
        return self.limit - self.spent

    @property
    def gauge(self) -> "Gauge":
        return Gauge.of(self)

    @property
    def forecast(self) -> "Forecast":
        return forecast(self)


@dataclass(frozen=True, slots=True)
class Gauge:
    """How far the bar of 1000 units is filled."""

    spent: int
    held: int

    @classmethod
    def of(cls, budget: Budget) -> "Gauge":
        if budget.limit <= 0:
            return cls(1000, 0)
        spent = min(1000, round(1000 * budget.spent / budget.limit))
        return cls(spent, min(1000 - spent, round(1000 * budget.held / budget.limit)))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where today's pace leads: when the cap is reached (None: not before midnight), and the day's whole spend."""

    reached_at: datetime | None
    by_midnight: Decimal


def budget_now() -> Budget:
    """Raises `NotNow` where Redis cannot say."""
    found = the_budget.counters()
    percent = the_budget.percent_used(found.spent)
    return Budget(
        day=found.day,
        now=datetime.fromtimestamp(found.now, zone()),
        spent=dollars(found.spent),
        held=dollars(found.held),
        limit=dollars(the_budget.limit()),
        percent=percent,
        level=budget_level(percent),
        paid_open=found.paid_open,
    )


def forecast(budget: Budget) -> Forecast:
    """The pace is that of the day so far, midnight to now."""
    begins, ends = day_bounds(budget.day)
    passed, left = budget.now - begins, max(timedelta(0), ends - budget.now)
    if passed <= timedelta(0) or budget.spent <= 0:
        return Forecast(None, budget.spent)
    per_second = budget.spent / (seconds_in(passed) or 1)
    by_midnight = budget.spent + per_second * seconds_in(left)
    if budget.remaining <= 0:
        return Forecast(budget.now, by_midnight)
    # Compared before it is added to the hour: at the pace of one cheap call the cap is a hundred thousand years away.
    seconds = int(budget.remaining / per_second)
    reached_at = budget.now + timedelta(seconds=seconds) if seconds < seconds_in(left) else None
    return Forecast(reached_at, by_midnight)


def seconds_in(span: timedelta) -> int:
    return span // timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Economics:
    """Dollars. Revenue in whole cents, costs as settled, and what is left of the one by the other."""

    revenue: Decimal
    costs: Decimal

    @property
    def profit(self) -> Decimal:
        return self.revenue - self.costs

    @property
    def margin_percent(self) -> Decimal | None:
        """None where nothing was sold: there is nothing that it could be a part of."""
        return (100 * self.profit / self.revenue).quantize(TENTH, ROUND_HALF_UP) if self.revenue > 0 else None


def economics(first: date, last: date, *, costs: Decimal | None = None) -> Economics:
    """What came in on these days, and what their calls cost."""
    if costs is None:
        costs = history.cost(first, last)
    return Economics(sales.revenue(day_bounds(first)[0], day_bounds(last)[1]).usd_rounded, costs)
