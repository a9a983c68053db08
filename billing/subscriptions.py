"""Who is on which tier until when: bought, prolonged, changed, taken back, cancelled, ended.

The rule of a change of tier: what is left of the tier held is turned into time of the new one by price, at today's
price of the old and the price paid for the new: left x old price / new price. Then come the days bought.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from .entitlements import forget_standing, forget_standings
from .errors import NotForSale, NothingToCancel, TierOnQuote
from .models import FREE, PaymentTransaction, Tier, UserTier
from .models.payments import DAYS, PaymentQuerySet

DAY = timedelta(days=1)
# Chargily takes no less.
LEAST_DZD = 50


@dataclass(frozen=True, slots=True)
class Status:
    """Where somebody stands; the rest is None on `free`. `expires_at` None on a paid tier: it has no end."""

    tier: str = FREE
    is_active: bool = False
    subscribed_at: datetime | None = None
    expires_at: datetime | None = None
    days_remaining: int | None = None
    auto_renew: bool | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a purchase gives: time from `starts_at` to `ends_at`, of which `converted` for what was left of another
    tier. `replaces_endless`: the tier held has no end, and gives way."""

    tier: str
    starts_at: datetime
    ends_at: datetime
    converted_from: str = ""
    left: timedelta = timedelta()
    converted: timedelta = timedelta()
    replaces_endless: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """What buying a tier now would give, and what it costs."""

    amount_dzd: int
    days: int
    terms: Terms


def status(*, user_id: int) -> Status:
    now = timezone.now()
    held = UserTier.objects.filter(user_id=user_id).first()
    if held is None or held.tier_id == FREE or not held.in_force(now):
        return Status()
    remaining = None if held.expires_at is None else ceil((held.expires_at - now) / DAY)
    return Status(held.tier_id, True, held.subscribed_at, held.expires_at, remaining, held.auto_renew)


def tier_for_sale(name: str) -> Tier:
    on_sale = Tier.objects.filter(sold_online=True, price_dzd__gte=LEAST_DZD).exclude(name=FREE)
    # Compared here: the name is whatever stood in an address, and PostgreSQL refuses to look at some of that.
    for tier in on_sale:
        if tier.name == name:
            return tier
    raise NotForSale(name)


def quote(*, user_id: int, tier: str) -> Quote:
    """Raises `NotForSale`, `TierOnQuote`."""
    wanted = tier_for_sale(tier)
    now = timezone.now()
    held = UserTier.objects.select_related("tier").filter(user_id=user_id).first()
    if held is not None and held.in_force(now) and held.tier_id not in (FREE, tier) and not held.tier.price_dzd:
        # There is no price to convert what is left by, and buying would end what was agreed on.
        raise TierOnQuote(held.tier_id)
    price = wanted.price_dzd or 0
    return Quote(price, DAYS, terms_of(held, tier=tier, amount_dzd=price, days=DAYS, now=now))


def terms_of(held: UserTier | None, *, tier: str, amount_dzd: int, days: int, now: datetime) -> Terms:
    """What `days` of a tier for `amount_dzd` give to somebody who holds `held`. Money always buys time."""
    bought = days * DAY
    if held is None or held.tier_id == FREE or not held.in_force(now):
        return Terms(tier, now, now + bought)
    if held.expires_at is None:
        return Terms(tier, now, now + bought, replaces_endless=True)
    if held.tier_id == tier:
        return Terms(tier, held.expires_at, held.expires_at + bought)
    left = held.expires_at - now
    converted = left * (held.tier.price_dzd or 0) * days // (amount_dzd * DAYS)
    return Terms(tier, now, now + bought + converted, held.tier_id, left, converted)


def lock(user_id: int) -> UserTier:
    """The one row of this person, locked, before any of their payments is: two payments of one person are applied one
    after the other, and never wait for each other crosswise."""
    UserTier.objects.get_or_create(user_id=user_id, defaults={"tier_id": FREE, "subscribed_at": None})
    # Without a join: where the other transaction changed the tier, PostgreSQL judges the join again with the tier that
    # it had found before, and finds nothing.
    return UserTier.objects.select_for_update().get(user_id=user_id)


def activate(payment: PaymentTransaction, held: UserTier, *, at: datetime) -> Terms:
    """Give what was paid for to the row that `lock` gave, inside the transaction that marks the payment paid."""
    terms = terms_of(held, tier=payment.tier_id, amount_dzd=payment.amount_dzd, days=payment.days, now=at)
    if held.tier_id != payment.tier_id or not held.in_force(at) or held.subscribed_at is None:
        held.subscribed_at = at
    held.tier_id = payment.tier_id
    held.expires_at = terms.ends_at
    held.auto_renew = True
    held.save(update_fields=["tier", "subscribed_at", "expires_at", "auto_renew"])
    if terms.converted:
        # What earlier payments bought lives on in the new tier, and so can still be taken back.
        _alive(payment, at).update(ends_at=terms.ends_at)
    _in_force_at_once(payment.user_id)
    return terms


def take_back(payment: PaymentTransaction, held: UserTier, *, at: datetime) -> timedelta:
    """End what a refunded payment gave, inside the transaction that marks it refunded; the time taken."""
    taken = time_to_take_back(payment, held, now=at)
    if taken and held.expires_at is not None:
        held.expires_at -= taken
        held.save(update_fields=["expires_at"])
        # What was bought after it comes so much sooner.
        later = _alive(payment, at).filter(paid_at__gte=payment.paid_at)
        later.update(ends_at=F("ends_at") - taken)
        _in_force_at_once(payment.user_id)
    return taken


def time_to_take_back(payment: PaymentTransaction, held: UserTier | None, *, now: datetime) -> timedelta:
    """The days bought, in time of the tier held now, and at most what is left of it; nothing once they are used up."""
    if held is None or held.tier_id == FREE or held.expires_at is None or not held.in_force(now):
        return timedelta()
    if payment.ends_at is None or payment.ends_at <= now:
        return timedelta()
    days: timedelta = payment.days * DAY
    if held.tier_id != payment.tier_id:
        if not held.tier.price_dzd:
            return timedelta()
        days = days * payment.amount_dzd // held.tier.price_dzd
    return min(days, held.expires_at - now)


def held_by(user_id: int) -> UserTier | None:
    return UserTier.objects.select_related("tier").filter(user_id=user_id).first()


def cancel(*, user_id: int) -> Status:
    """No more reminders; access stays to the end of what is paid."""
    now = timezone.now()
    in_force = UserTier.objects.filter(user_id=user_id).exclude(tier_id=FREE).exclude(expires_at__lte=now)
    if not in_force.update(auto_renew=False):
        raise NothingToCancel
    return status(user_id=user_id)


def ended(now: datetime) -> int:
    """How many subscriptions have ended and are not swept yet."""
    return UserTier.objects.filter(expires_at__lte=now).count()


def expire() -> int:
    """Put those that have ended on `free`; how many. They are served as `free` from the minute itself."""
    # One statement: a renewal that commits meanwhile is seen by its condition, which is judged again on the new row.
    swept = UserTier.objects.filter(expires_at__lte=timezone.now()).update(
        tier_id=FREE, subscribed_at=None, expires_at=None, auto_renew=True
    )
    if swept:
        forget_standings()
    return swept


def _alive(payment: PaymentTransaction, at: datetime) -> PaymentQuerySet:
    """This person's other payments whose time is not used up."""
    paid = PaymentTransaction.objects.filter(user_id=payment.user_id, status=PaymentTransaction.Status.PAID)
    return paid.filter(ends_at__gt=at).exclude(pk=payment.pk)


def _in_force_at_once(user_id: int) -> None:
    transaction.on_commit(lambda: forget_standing(user_id))
