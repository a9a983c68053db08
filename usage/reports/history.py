"""Figures of a day or of several, from the roll-ups: a month in milliseconds. Days are inclusive at both ends.

Today's are as exact as any: a roll-up changes in the transaction that changes the table.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from accounts.people import emails_of
from billing.entitlements import tiers_of
from usage.ledger import day_bounds

from .latency import latencies, quantiles
from .query import rows


@dataclass(frozen=True, slots=True)
class Totals:
    """`calls` are attempts that reached a provider; `users` those who made at least one."""

    users: int
    calls: int
    tokens: int
    cost_usd: Decimal

    @property
    def cost_per_user(self) -> Decimal:
        return (self.cost_usd / self.users).quantize(Decimal("1e-9")) if self.users else Decimal(0)


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """`error_rate` in percent. The percentiles are right to within five in a hundred, and of calls that did not fail,
    so that quick refusals do not look like speed."""

    provider: str
    calls: int
    errors: int
    tokens: int
    cost_usd: Decimal
    latency_avg_ms: int
    latency_p50_ms: int
    latency_p95_ms: int

    @property
    def error_rate(self) -> Decimal:
        return (Decimal(100 * self.errors) / self.calls).quantize(Decimal("0.1")) if self.calls else Decimal(0)


@dataclass(frozen=True, slots=True)
class Spend:
    calls: int = 0
    errors: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class TierFigures:
    """`users` are those who made a call while on the tier."""

    tier: str
    users: int
    calls: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class UserCost:
    """`email` is empty where the account has been deleted; `tier` is the one in force now."""

    user_id: int
    email: str
    tier: str
    calls: int
    cost_usd: Decimal


def totals(first: date, last: date) -> Totals:
    (everyone,) = _people("all", first, last)
    return Totals(everyone.users, everyone.calls, everyone.tokens, everyone.cost_usd)


def cost(first: date, last: date) -> Decimal:
    """What these days cost in all, in dollars."""
    ((found,),) = rows(
        "SELECT coalesce(sum(cost_usd), 0) FROM usage_rollup_hours WHERE hour >= %s AND hour < %s", *_hours(first, last)
    )
    return Decimal(found)


def by_hour(start: datetime, end: datetime) -> dict[tuple[datetime, str], Spend]:
    """Under the hour's first instant and the provider's name."""
    return {
        (hour, provider): Spend(*sums)
        for hour, provider, *sums in rows(
            f"SELECT hour, provider, {SUMS} FROM usage_rollup_hours WHERE hour >= %s AND hour < %s GROUP BY 1, 2",
            start,
            end,
        )
    }


def by_day(first: date, last: date) -> dict[date, Spend]:
    return {day: Spend(*sums) for day, *sums in _by("(hour AT TIME ZONE 'Africa/Algiers')::date", first, last)}


def by_provider(first: date, last: date) -> dict[str, Spend]:
    return {name: Spend(*sums) for name, *sums in _by("provider", first, last)}


def by_model(first: date, last: date) -> dict[str, Spend]:
    return {name: Spend(*sums) for name, *sums in _by("model", first, last)}


def by_tier(first: date, last: date) -> dict[str, Spend]:
    return {name: Spend(*sums) for name, *sums in _by("tier", first, last)}


def providers(first: date, last: date) -> list[ProviderFigures]:
    """The dearest first."""
    found = rows(
        f"""
        SELECT provider, {SUMS}, round(sum(latency_ms::float8) / sum(calls::float8))::int
        FROM usage_rollup_hours WHERE hour >= %s AND hour < %s
        GROUP BY 1 HAVING sum(calls::float8) > 0 ORDER BY sum(cost_usd) DESC, 2 DESC, 1
        """,
        *_hours(first, last),
    )
    quick = latencies(first, last)
    return [
        ProviderFigures(name, calls, errors, tokens, cost, average, *quantiles(quick[name]))
        for name, calls, errors, tokens, cost, average in found
    ]


def tiers(first: date, last: date) -> list[TierFigures]:
    return [TierFigures(found.tier, found.users, found.calls, found.cost_usd) for found in _people("tier", first, last)]


def top_users(first: date, last: date, *, limit: int = 10) -> list[UserCost]:
    """Those who cost most, the dearest first; at most a hundred."""
    dearest = sorted(_people("user", first, last), key=lambda found: (-found.cost_usd, -found.calls, found.user_id))
    ids = [found.user_id for found in dearest[:limit]]
    emails, held = emails_of(ids), tiers_of(ids)
    return [
        UserCost(found.user_id, emails.get(found.user_id, ""), held[found.user_id], found.calls, found.cost_usd)
        for found in dearest[:limit]
    ]


def busy_users(day: date, *, calls: int) -> list[int]:
    """The ids of those with more calls than that."""
    found = rows(
        """
        SELECT user_id FROM usage_rollup_user_days WHERE day = %s
        GROUP BY 1 HAVING sum(calls::float8) > %s ORDER BY 1
        """,
        day,
        calls,
    )
    return [user_id for (user_id,) in found]


class _People(NamedTuple):
    """`kind` is `all` (one row), `tier` (one each) or `user` (one each of the hundred dearest). `tier` and `user_id`
    are those of the latter two, and empty in the others."""

    kind: str
    tier: str
    user_id: int
    users: int
    calls: int
    tokens: int
    cost_usd: Decimal


def _people(kind: str, first: date, last: date) -> list[_People]:
    return [found for found in map(_People._make, rows(PEOPLE, first, last)) if found.kind == kind]


# All kinds from one look at the sums per user and day.
PEOPLE = """
    WITH people AS MATERIALIZED (
        SELECT user_id, tier, sum(calls::float8) AS calls, sum(tokens::float8) AS tokens, sum(cost_usd) AS cost
        FROM usage_rollup_user_days WHERE day >= %s AND day <= %s GROUP BY user_id, tier HAVING sum(calls::float8) > 0
    )
    SELECT 'all', '', 0::bigint, count(DISTINCT user_id), coalesce(sum(calls), 0)::bigint,
           coalesce(sum(tokens), 0)::bigint, coalesce(sum(cost), 0)
    FROM people
    UNION ALL
    SELECT 'tier', tier, 0, count(*), sum(calls)::bigint, sum(tokens)::bigint, sum(cost) FROM people GROUP BY tier
    UNION ALL
    SELECT * FROM (
        SELECT 'user', '', user_id, 1::bigint, sum(calls)::bigint, sum(tokens)::bigint, sum(cost) AS cost
        FROM people GROUP BY user_id ORDER BY cost DESC, 5 DESC, user_id LIMIT 100
    ) AS dearest
"""
# Counts are added up as floats, which are exact up to 2⁵³ and some times quicker than PostgreSQL's sum of bigints.
SUMS = """
    sum(calls::float8)::bigint, sum(errors::float8)::bigint,
    (sum(tokens_input::float8) + sum(tokens_output::float8))::bigint, sum(cost_usd)
"""


def _by(key: str, first: date, last: date) -> list[Any]:
    return rows(
        f"""
        SELECT {key}, {SUMS} FROM usage_rollup_hours WHERE hour >= %s AND hour < %s
        GROUP BY 1 HAVING sum(calls::float8) > 0 ORDER BY sum(cost_usd) DESC, 1
        """,
        *_hours(first, last),
    )


def _hours(first: date, last: date) -> tuple[datetime, datetime]:
    return day_bounds(first)[0], day_bounds(last)[1]
