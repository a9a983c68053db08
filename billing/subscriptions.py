"""Who is on which tier until when: bought, prolonged, changed, taken back, cancelled, ended.

The rule of a change of tier: what is left of the tier held is turned into time of the new one by what was paid for
both: left x price paid for the old / price paid for the new (`paid_time`). Gifts count at the price list.
Money never makes a standing worse: `grant` says what a payment gives, or that a person must decide.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from . import paid_time
from .entitlements import forget_standing, forget_standings
from .errors import NotForSale, NothingToCancel, TierOnQuote, Undecided
from .models import FREE, PaymentTransaction, Tier, UserTier
from .models.payments import DAYS, PaymentQuerySet
from .paid_time import Rate

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
    # The tier held that ends, or is converted.
    gives_way: str = ""


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
    held_another = held is not None and held.in_force(now) and held.tier_id not in (FREE, tier)
    if held is not None and held_another and paid_time.has_no_price(held, now=now):
        # There is no price to convert what is left by, and buying would end what was agreed on.
        raise TierOnQuote(held.tier_id)
    price = wanted.price_dzd or 0
    return Quote(price, DAYS, terms_of(held, tier=tier, amount_dzd=price, days=DAYS, now=now))


def terms_of(held: UserTier | None, *, tier: str, amount_dzd: int, days: int, now: datetime) -> Terms:
    """What `days` of a tier for `amount_dzd` give to somebody who holds `held` and gives it up for them."""
    bought = days * DAY
    if held is None or held.tier_id == FREE or not held.in_force(now):
        return Terms(tier, now, now + bought)
    if held.expires_at is not None and held.tier_id == tier:
        return Terms(tier, held.expires_at, held.expires_at + bought)
    # Of a tier without an end, the part that was paid before staff took the end away.
    left = timedelta() if held.expires_at is None else held.expires_at - now
    converted = Rate(amount_dzd, days).time_for(paid_time.worth_left(held, now=now) or Fraction(0))
    source = held.tier_id if left or converted else ""
    endless = held.expires_at is None
    return Terms(tier, now, now + bought + converted, source, left, converted, endless, held.tier_id)


def grant(payment: PaymentTransaction, held: UserTier, *, at: datetime) -> Terms | None:
    """What this money gives to the customer who holds `held` now. None: only a person can decide.

    The quote at the click is kept where the same tier is still held. Otherwise what is held stays: a dearer tier
    replaces it by value, and money for a cheaper one buys time of the tier held.
    """
    asked = terms_of(held, tier=payment.tier_id, amount_dzd=payment.amount_dzd, days=payment.days, now=at)
    if not asked.gives_way:
        return asked
    lower = payment.tier.rank <= held.tier.rank
    accepted = payment.gives_way == held.tier_id
    if held.expires_at is None:
        return asked if accepted and payment.gives_way_endless and not lower else None
    if paid_time.worth_left(held, now=at) is None:
        return None
    return asked if accepted or not lower else _added_to_what_is_held(payment, held, at=at)


def _added_to_what_is_held(payment: PaymentTransaction, held: UserTier, *, at: datetime) -> Terms | None:
    rate = paid_time.rate_of_held(held, now=at)
    if rate is None or held.expires_at is None:
        return None
    bought = rate.time_for(Rate(payment.amount_dzd, payment.days).value_of(payment.days * DAY))
    return Terms(held.tier_id, held.expires_at, held.expires_at + bought)


def lock(user_id: int) -> UserTier:
    """The one row of this person, locked, before any of their payments is: two payments of one person are applied one
    after the other, and never wait for each other crosswise."""
    UserTier.objects.get_or_create(user_id=user_id, defaults={"tier_id": FREE, "subscribed_at": None})
    # Without a join: where the other transaction changed the tier, PostgreSQL judges the join again with the tier that
    # it had found before, and finds nothing.
    return UserTier.objects.select_for_update().get(user_id=user_id)


def activate(payment: PaymentTransaction, held: UserTier, *, at: datetime) -> Terms:
    """Give what was paid for to the row that `lock` gave, inside the transaction that marks the payment paid."""
    terms = grant(payment, held, at=at)
    if terms is None:
        raise Undecided(held.tier_id)
    _note_paid_time(payment, held, terms, at=at)
    if held.tier_id != terms.tier or not held.in_force(at) or held.subscribed_at is None:
        held.subscribed_at = at
    held.tier_id = terms.tier
    held.expires_at = terms.ends_at
    held.auto_renew = True
    held.save(update_fields=["tier", "subscribed_at", "expires_at", "auto_renew"])
    if terms.converted:
        # What earlier payments bought lives on in the new tier, and so can still be taken back.
        _alive(payment, at).update(ends_at=terms.ends_at)
    _in_force_at_once(payment.user_id)
    return terms


def _note_paid_time(payment: PaymentTransaction, held: UserTier, terms: Terms, *, at: datetime) -> None:
    """Lay the days bought first, then what is converted."""
    rate = Rate(payment.amount_dzd, payment.days)
    bought_until = terms.ends_at - terms.converted
    if held.tier_id == FREE or not held.in_force(at):
        paid_time.forget(payment.user_id, now=at)
    elif terms.gives_way:
        paid_time.convert(held, tier=terms.tier, rate=rate, starts_at=bought_until, now=at)
    elif terms.tier != payment.tier_id:
        rate = paid_time.rate_of_held(held, now=at) or rate
    paid_time.note(payment, tier=terms.tier, starts_at=terms.starts_at, ends_at=bought_until, rate=rate)


def take_back(payment: PaymentTransaction, held: UserTier, *, at: datetime) -> timedelta:
    """End what a refunded payment gave, inside the transaction that marks it refunded; the time taken."""
    taken = time_to_take_back(payment, held, now=at)
    if taken and held.expires_at is not None:
        held.expires_at -= taken
        held.save(update_fields=["expires_at"])
        paid_time.remove(payment, taken=taken, now=at)
        # What was bought after it comes so much sooner, and nothing lasts longer than the tier.
        later = _alive(payment, at).filter(paid_at__gte=payment.paid_at)
        later.update(ends_at=F("ends_at") - taken)
        _alive(payment, at).filter(ends_at__gt=held.expires_at).update(ends_at=held.expires_at)
        _in_force_at_once(payment.user_id)
    return taken


def time_to_take_back(payment: PaymentTransaction, held: UserTier | None, *, now: datetime) -> timedelta:
    """What is left of the days that this payment bought, in time of the tier held now."""
    if held is None or held.tier_id == FREE or held.expires_at is None or not held.in_force(now):
        return timedelta()
    return paid_time.left_of(payment, held, now=now)


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
