"""What each tier and each user brought in and cost: an accountant's margin, per head."""

from dataclasses import dataclass
from decimal import Decimal

from accounts.people import how_many
from billing import reports as sales
from billing.entitlements import holders, tier_names
from billing.models import FREE
from usage.reports import history
from usage.reports.history import UserCost

from .periods import Period

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class TierRow:
    """`holders` have it now; `users` made a call on it in the period. Revenue is what was sold in the period."""

    name: str
    holders: int | None
    users: int
    calls: int
    cost: Decimal
    revenue: Decimal

    @property
    def margin(self) -> Decimal:
        return self.revenue - self.cost

    @property
    def margin_per_user(self) -> Decimal | None:
        return self.margin / self.users if self.users else None


@dataclass(frozen=True, slots=True)
class UserRow:
    user: UserCost
    revenue: Decimal

    @property
    def margin(self) -> Decimal:
        return self.revenue - self.user.cost_usd


def tier_rows(period: Period) -> list[TierRow]:
    """Those on sale in their order, then what else is in the log: rows by hand may have no tier."""
    used = {found.tier: found for found in history.tiers(period.first, period.last)}
    sold = sales.revenue_by_tier(*period.bounds)
    held = holders()
    held[FREE] = how_many() - sum(held.values()) + held.get(FREE, 0)
    known = tier_names()
    rows = []
    for name in [*known, *(name for name in {**used, **sold} if name not in known)]:
        found = used.get(name)
        users, calls, cost = (found.users, found.calls, found.cost_usd) if found else (0, 0, ZERO)
        revenue = sold[name].usd_rounded if name in sold else ZERO
        rows.append(TierRow(name, held.get(name, 0) if name in known else None, users, calls, cost, revenue))
    return rows


def user_rows(period: Period, *, limit: int = 10) -> list[UserRow]:
    """Those who cost most."""
    found = history.top_users(period.first, period.last, limit=limit)
    sold = sales.revenue_by_user(*period.bounds, among=[user.user_id for user in found])
    return [UserRow(user, sold[user.user_id].usd_rounded if user.user_id in sold else ZERO) for user in found]
