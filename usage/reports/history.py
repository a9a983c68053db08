"""Figures of several days, from the roll-ups: a month in milliseconds. Days are inclusive at both ends."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from accounts.people import emails_of
from billing.entitlements import tiers_of
from usage.ledger import day_bounds

from .query import rows
from .today import ProviderFigures, Totals

# A bucket of latencies is this much wider than the one before (see the migration that fills them).
STEP = 1.1


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
    return Totals(
        *rows(
            """
            SELECT count(*), coalesce(sum(calls), 0)::bigint, coalesce(sum(tokens), 0)::bigint,
                   coalesce(sum(cost_usd), 0)
            FROM (
                SELECT sum(calls) AS calls, sum(tokens) AS tokens, sum(cost_usd) AS cost_usd
                FROM usage_rollup_user_days WHERE day >= %s AND day <= %s GROUP BY user_id HAVING sum(calls) > 0
            ) AS users
            """,
            first,
            last,
        )[0]
    )


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
    """The dearest first. The percentiles are right to within five in a hundred."""
    found = rows(
        f"""
        SELECT provider, {SUMS}, round(sum(latency_ms) / nullif(sum(calls), 0))::int FROM usage_rollup_hours
        WHERE hour >= %s AND hour < %s GROUP BY 1 HAVING sum(calls) > 0 ORDER BY sum(cost_usd) DESC, sum(calls) DESC, 1
        """,
        *_hours(first, last),
    )
    quick = latencies(first, last)
    return [
        ProviderFigures(
            name, calls, errors, tokens, cost, average, quantile(quick[name], 0.5), quantile(quick[name], 0.95)
        )
        for name, calls, errors, tokens, cost, average in found
    ]


def latencies(first: date, last: date) -> dict[str, list[tuple[int, int]]]:
    """Per provider: how many calls took how long, in buckets of latency, the quickest first."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for provider, bucket, calls in rows(
        """
        SELECT provider, bucket, sum(calls)::bigint FROM usage_rollup_latencies
        WHERE day >= %s AND day <= %s GROUP BY 1, 2 HAVING sum(calls) > 0 ORDER BY 1, 2
        """,
        first,
        last,
    ):
        found[provider].append((bucket, calls))
    return found


def quantile(buckets: Iterable[tuple[int, int]], share: float) -> int:
    """Milliseconds: the middle of the bucket in which that share of the calls has been answered."""
    counted = list(buckets)
    wanted, seen = share * sum(calls for _, calls in counted), 0
    for bucket, calls in counted:
        seen += calls
        if seen >= wanted:
            return round(STEP**bucket * (1 + 1 / STEP) / 2) if bucket else 0
    return 0


def tiers(first: date, last: date) -> list[TierFigures]:
    return [
        TierFigures(*row)
        for row in rows(
            """
            SELECT tier, count(*), sum(calls)::bigint, sum(cost_usd) FROM (
                SELECT tier, user_id, sum(calls) AS calls, sum(cost_usd) AS cost_usd FROM usage_rollup_user_days
                WHERE day >= %s AND day <= %s GROUP BY tier, user_id HAVING sum(calls) > 0
            ) AS users GROUP BY tier ORDER BY tier
            """,
            first,
            last,
        )
    ]


def top_users(first: date, last: date, *, limit: int = 10) -> list[UserCost]:
    """Those who cost most, the dearest first."""
    found = rows(
        """
        SELECT user_id, sum(calls)::bigint, sum(cost_usd) FROM usage_rollup_user_days
        WHERE day >= %s AND day <= %s GROUP BY user_id HAVING sum(calls) > 0
        ORDER BY sum(cost_usd) DESC, sum(calls) DESC, user_id LIMIT %s
        """,
        first,
        last,
        limit,
    )
    ids = [user_id for user_id, *_ in found]
    emails, held = emails_of(ids), tiers_of(ids)
    return [UserCost(user, emails.get(user, ""), held[user], calls, cost) for user, calls, cost in found]


SUMS = "sum(calls)::bigint, sum(errors)::bigint, sum(tokens_input + tokens_output)::bigint, sum(cost_usd)"


def _by(key: str, first: date, last: date) -> list[Any]:
    return rows(
        f"""
        SELECT {key}, {SUMS} FROM usage_rollup_hours WHERE hour >= %s AND hour < %s
        GROUP BY 1 HAVING sum(calls) > 0 ORDER BY sum(cost_usd) DESC, 1
        """,
        *_hours(first, last),
    )


def _hours(first: date, last: date) -> tuple[datetime, datetime]:
    return day_bounds(first)[0], day_bounds(last)[1]
