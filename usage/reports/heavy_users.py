"""Who asked most on a day: found in the sums, then counted from the table, which alone knows the messages."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.people import emails_of
from billing.entitlements import tiers_of
from usage.ledger import day_bounds

from . import history
from .query import rows

# A user with more messages in a day than this is shown to staff as abusive.
ABUSIVE_MESSAGES = 300


@dataclass(frozen=True, slots=True)
class UserFigures:
    """`email` is empty where the account has been deleted; `tier` is the one in force now."""

    user_id: int
    email: str
    tier: str
    calls: int
    messages: int
    cost_usd: Decimal


def abusive_users(day: date) -> list[UserFigures]:
    """Everyone with more than `ABUSIVE_MESSAGES` messages, the most first."""
    # Fewer calls than that cannot be more messages: the busy are few enough to be looked at one by one.
    found = user_figures(day, history.busy_users(day, calls=ABUSIVE_MESSAGES))
    return sorted((u for u in found if u.messages > ABUSIVE_MESSAGES), key=lambda u: (-u.messages, u.user_id))


def user_figures(day: date, user_ids: Collection[int]) -> list[UserFigures]:
    """The day of some users, each read by the index on user and time."""
    if not user_ids:
        return []
    emails, tiers = emails_of(user_ids), tiers_of(user_ids)
    return [
        UserFigures(user_id, emails.get(user_id, ""), tiers[user_id], calls, messages, cost)
        for user_id, calls, messages, cost in rows(USERS, list(user_ids), *day_bounds(day))
    ]


USERS = """
    SELECT user_id, count(*), count(DISTINCT request_id), sum(cost_usd)
    FROM llm_usage_logs WHERE user_id = ANY(%s) AND created_at >= %s AND created_at < %s
    GROUP BY user_id
"""
