"""One day's figures, counted from the table itself. Meant for the current day; any day will do."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from accounts.people import emails_of
from billing.entitlements import tiers_of
from usage.ledger import day_bounds

from .latency import latencies, quantiles
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
class UserFigures:
    """`email` is empty where the account has been deleted; `tier` is the one in force now."""

    user_id: int
    email: str
    tier: str
    calls: int
    messages: int
    cost_usd: Decimal


def totals(day: date) -> Totals:
    ((_kind, _name, users, calls, _errors, tokens, cost, _latency),) = _of("all", day)
    return Totals(users, calls, tokens, cost)


def providers(day: date) -> list[ProviderFigures]:
    """The dearest first."""
    quick = latencies(day, day)
    found = [
        ProviderFigures(name, calls, errors, tokens, cost, latency, *quantiles(quick[name]))
        for _kind, name, _user, calls, errors, tokens, cost, latency in _of("provider", day)
    ]
    return sorted(found, key=lambda one: (-one.cost_usd, -one.calls, one.provider))


def abusive_users(day: date) -> list[UserFigures]:
    """Everyone with more than `ABUSIVE_MESSAGES` messages, the most first."""
    found = user_figures(day, [user_id for _kind, _name, user_id, *_sums in _of("busy", day)])
    return sorted((u for u in found if u.messages > ABUSIVE_MESSAGES), key=lambda u: (-u.messages, u.user_id))


def top_users(day: date, *, limit: int = 10) -> list[UserFigures]:
    """Those who cost most, the dearest first; at most a hundred."""
    first = sorted(_of("dearest", day), key=lambda row: (-row[6], row[2]))[:limit]
    dearest = [user_id for _kind, _name, user_id, *_sums in first]
    return sorted(user_figures(day, dearest), key=lambda u: (-u.cost_usd, u.user_id))


def user_figures(day: date, user_ids: Collection[int]) -> list[UserFigures]:
    """The day of some users, each read by the index on user and time."""
    if not user_ids:
        return []
    emails, tiers = emails_of(user_ids), tiers_of(user_ids)
    return [
        UserFigures(user_id, emails.get(user_id, ""), tiers[user_id], calls, messages, cost)
        for user_id, calls, messages, cost in rows(USERS, list(user_ids), *day_bounds(day))
    ]


def _of(kind: str, day: date) -> list[Any]:
    return [row for row in _day(day) if row[0] == kind]


def _day(day: date) -> list[Any]:
    """The whole day, each provider, who may be an abuser, and who cost most: from one look at the rows of the day."""
    return rows(DAY, *day_bounds(day), ABUSIVE_MESSAGES)


# One cell per user and provider first: a distinct count over the bare rows would sort them all. Fewer rows than 300
# cannot be more messages, so the busy are few enough to be looked at one by one.
DAY = """
    WITH cells AS MATERIALIZED (
        SELECT user_id, provider, count(*) AS calls, count(*) FILTER (WHERE error_flag) AS errors,
               sum(tokens_input) + sum(tokens_output) AS tokens, sum(cost_usd) AS cost, sum(latency_ms) AS latency
        FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s GROUP BY user_id, provider
    ),
    people AS MATERIALIZED (SELECT user_id, sum(calls) AS calls, sum(cost) AS cost FROM cells GROUP BY user_id)
    SELECT 'all', NULL::text, (SELECT count(*) FROM people), coalesce(sum(calls), 0)::bigint,
           coalesce(sum(errors), 0)::bigint, coalesce(sum(tokens), 0)::bigint, coalesce(sum(cost), 0), 0
    FROM cells
    UNION ALL
    SELECT 'provider', provider, NULL, sum(calls)::bigint, sum(errors)::bigint, sum(tokens)::bigint, sum(cost),
           round(sum(latency) / sum(calls))::int
    FROM cells GROUP BY provider
    UNION ALL
    SELECT 'busy', NULL, user_id, calls::bigint, 0, 0, cost, 0 FROM people WHERE calls > %s
    UNION ALL
    SELECT * FROM (
        SELECT 'dearest', NULL::text, user_id, calls::bigint, 0::bigint, 0::bigint, cost, 0 FROM people
        ORDER BY cost DESC, user_id LIMIT 100
    ) AS dearest
"""
USERS = """
    SELECT user_id, count(*), count(DISTINCT request_id), sum(cost_usd)
    FROM llm_usage_logs WHERE user_id = ANY(%s) AND created_at >= %s AND created_at < %s
    GROUP BY user_id
"""
