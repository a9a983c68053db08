"""What can be bought now, and by whom: one rule for the pages' buttons, the price list, the quote and the checkout."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from . import paid_time, subscriptions
from .errors import BillingError, NotForSale, PaymentsNotConfigured, TierHasNoEnd, TierOnQuote
from .gateways import the_gateway
from .models import FREE, Tier, UserTier


@dataclass(frozen=True, slots=True)
class Offer:
    """A tier of the price list. `refusal`: why it cannot be bought, as the checkout would raise it; None: it can."""

    tier: Tier
    refusal: BillingError | None
    extends: bool

    @property
    def can_be_bought(self) -> bool:
        return self.refusal is None


def offers_for(user_id: int | None) -> list[Offer]:
    """Every tier by rank, for a customer or (None) for a visitor."""
    held = None if user_id is None else subscriptions.held_by(user_id)
    now = timezone.now()
    extended = held.tier_id if held is not None and held.in_force(now) else FREE
    return [Offer(tier, refusal_of(tier, held, now=now), tier.name == extended) for tier in Tier.objects.all()]


def quote(*, user_id: int, tier: str) -> subscriptions.Quote:
    """What buying would give. Raises `NotForSale`, `TierOnQuote`, `TierHasNoEnd`; not that payments are closed."""
    wanted = subscriptions.tier_for_sale(tier)
    if refusal := _refusal_of_the_tier_held(wanted, subscriptions.held_by(user_id), now=timezone.now()):
        raise refusal
    return subscriptions.quote(user_id=user_id, tier=tier)


def refusal_of(tier: Tier, held: UserTier | None, *, now: datetime) -> BillingError | None:
    if tier.name == FREE or not tier.sold_online or (tier.price_dzd or 0) < subscriptions.LEAST_DZD:
        return NotForSale(tier.name)
    return _refusal_of_the_tier_held(tier, held, now=now) or refusal_of_the_gateway()


def _refusal_of_the_tier_held(tier: Tier, held: UserTier | None, *, now: datetime) -> BillingError | None:
    if held is None or held.tier_id == FREE or not held.in_force(now):
        return None
    if held.tier_id != tier.name and paid_time.has_no_price(held, now=now):
        # There is no price to convert what is left by, and buying would end what was agreed on.
        return TierOnQuote(held.tier_id)
    if held.expires_at is None and tier.rank <= held.tier.rank:
        # The same tier or a lower one, with an end: money would buy less than what is held.
        return TierHasNoEnd(held.tier_id)
    return None


def refusal_of_the_gateway() -> BillingError | None:
    try:
        the_gateway()
    except PaymentsNotConfigured as error:
        return error
    return None
