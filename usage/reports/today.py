"""One day's figures, counted from the table itself. Meant for the current day; any day will do."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.people import emails_of
from billing.entitlements import tiers_of
from usage.ledger import day_bounds

from .query import rows

# A user with more messages in a day than this is shown to staff as abusive.
ABUSIVE_MESSAGES = 300


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
    """`error_rate` in percent; the percentiles are of calls that did not fail, so that quick refusals do not
    look like speed."""

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
class UserFigures:
    """`email` is empty where the account has been deleted; `tier` is the one in force now."""

    user_id: int
    email: str
    tier: str
    calls: int
    messages: int
    cost_usd: Decimal


def totals(day: date) -> Totals:
    return Totals(*rows(TOTALS, *day_bounds(day))[0])


def providers(day: date) -> list[ProviderFigures]:
    """The dearest first."""
    return [ProviderFigures(*row) for row in rows(PROVIDERS, *day_bounds(day))]


def abusive_users(day: date) -> list[UserFigures]:
    """Everyone with more than `ABUSIVE_MESSAGES` messages, the most first."""
    busy = rows(BUSY, *day_bounds(day), ABUSIVE_MESSAGES)
    found = user_figures(day, [user_id for (user_id,) in busy])
    return sorted((u for u in found if u.messages > ABUSIVE_MESSAGES), key=lambda u: (-u.messages, u.user_id))


def top_users(day: date, *, limit: int = 10) -> list[UserFigures]:
    """Those who cost most, the dearest first."""
    found = user_figures(day, [user_id for (user_id,) in rows(DEAREST, *day_bounds(day), limit)])
    return sorted(found, key=lambda u: (-u.cost_usd, u.user_id))


def user_figures(day: date, user_ids: Collection[int]) -> list[UserFigures]:
    """The day of some users, each read by the index on user and time."""
    if not user_ids:
        return []
    emails, tiers = emails_of(user_ids), tiers_of(user_ids)
    return [
        UserFigures(user_id, emails.get(user_id, ""), tiers[user_id], calls, messages, cost)
        for user_id, calls, messages, cost in rows(USERS, list(user_ids), *day_bounds(day))
    ]


# One row per user first: a distinct count over the bare rows would sort them all.
TOTALS = """
    SELECT count(*), coalesce(sum(calls), 0)::bigint, coalesce(sum(tokens), 0)::bigint, coalesce(sum(cost), 0)
    FROM (
        SELECT user_id, count(*) AS calls, sum(tokens_input::bigint + tokens_output) AS tokens, sum(cost_usd) AS cost
        FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s GROUP BY user_id
    ) AS users
"""
PROVIDERS = """
    SELECT
        provider, count(*), count(*) FILTER (WHERE error_flag), sum(tokens_input::bigint + tokens_output)::bigint,
        sum(cost_usd), round(avg(latency_ms))::int,
        coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE NOT error_flag), 0),
        coalesce(percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE NOT error_flag), 0)
    FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s
    GROUP BY provider ORDER BY sum(cost_usd) DESC, count(*) DESC, provider
"""
# Fewer calls than that cannot be more messages; what is left is few enough to look at one by one.
BUSY = """
    SELECT user_id FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s
    GROUP BY user_id HAVING count(*) > %s
"""
DEAREST = """
    SELECT user_id FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s
    GROUP BY user_id ORDER BY sum(cost_usd) DESC, user_id LIMIT %s
"""
USERS = """
    SELECT user_id, count(*), count(DISTINCT request_id), sum(cost_usd)
    FROM llm_usage_logs WHERE user_id = ANY(%s) AND created_at >= %s AND created_at < %s
    GROUP BY user_id
"""
