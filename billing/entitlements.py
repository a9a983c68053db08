"""What a tier allows, and which tier somebody is on this minute."""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from accounts.errors import AccountsAway
from accounts.fresh import Fresh, StoreAway

from .models import FREE, Tier, UserTier
from .money import nano_ceiling


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The limits of one tier. Money is in nano-dollars; `user_daily_budget` None is no limit of its own."""

    tier: str
    rank: int
    messages_per_day: int
    requests_per_minute: int
    groq_percent: int
    user_daily_budget: int | None


@dataclass(frozen=True, slots=True)
class _Standing:
    """A row of `user_tiers`, or none: `free` without an end."""

    tier: str = FREE
    ends_at: float = math.inf


def entitlements_for(user_id: int) -> Entitlement:
    """The tier in force now: a subscription that ended a second ago, however fresh the memory of it, is `free`."""
    try:
        standing, tiers = _standings.get(user_id), _tiers.get(None)
    except StoreAway as error:
        raise AccountsAway from error
    # SQL may have made the tier after this process asked for all of them: free for the rest of 5 s.
    return tiers[FREE] if standing.ends_at <= time.time() else tiers.get(standing.tier, tiers[FREE])


def tiers_of(user_ids: Collection[int]) -> dict[int, str]:
    """The names of the tiers in force now, for a list of users; asked of PostgreSQL."""
    held = _in_force().filter(user_id__in=user_ids)
    return dict.fromkeys(user_ids, FREE) | dict(held.values_list("user_id", "tier_id"))


def holders() -> dict[str, int]:
    """How many have each tier now; those without a row are on `free` and not among them."""
    return dict(_in_force().order_by().values_list("tier_id").annotate(number=Count("id")))


def tier_names() -> list[str]:
    """By rank."""
    return list(Tier.objects.values_list("name", flat=True))


def _in_force() -> QuerySet[UserTier]:
    return UserTier.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


def free_messages_per_day() -> int:
    return Tier.objects.get(name=FREE).messages_per_day


def _load(user_id: int) -> _Standing:
    # By hand, as in `accounts.holders`.
    with connection.cursor() as cursor:
        cursor.execute("SELECT tier, expires_at FROM user_tiers WHERE user_id = %s", [user_id])
        row = cursor.fetchone()
    if row is None:
        return _Standing()
    tier, expires_at = row
    return _Standing(tier, expires_at.timestamp() if expires_at else math.inf)


def _load_tiers(_key: None) -> dict[str, Entitlement]:
    tiers = {tier.name: _entitlement(tier) for tier in Tier.objects.all()}
    if FREE not in tiers:
        raise LookupError("the table of tiers has no row `free`: run `manage.py load_tiers`")
    return tiers


def _entitlement(tier: Tier) -> Entitlement:
    budget = tier.user_daily_budget_usd
    return Entitlement(
        tier=tier.name,
        rank=tier.rank,
        messages_per_day=tier.messages_per_day,
        requests_per_minute=tier.requests_per_minute,
        groq_percent=tier.groq_percent,
        user_daily_budget=None if budget is None else nano_ceiling(budget),
    )


_standings: Fresh[int, _Standing] = Fresh(_load, owner=lambda user_id, _standing: user_id)
# The same for everybody: asked for once in 5 s, not once per user.
_tiers: Fresh[None, dict[str, Entitlement]] = Fresh(_load_tiers)


def forget_standing(user_id: int) -> None:
    """Make this process ask again about one user. Changes through the ORM are announced and need no call."""
    _standings.forget(user_id)


def forget_standings() -> None:
    _standings.clear()
    _tiers.clear()
