"""What the time left of a tier is worth, by what was paid for it. Today's price list counts for gifts alone.

Values are microseconds x dinars a day, as exact fractions. Every function that writes runs under
`subscriptions.lock`: that lock keeps the stretches of one person from being moved by two payments at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from django.db.models import F, QuerySet

from .models import PaidTime, PaymentTransaction, UserTier
from .models.payments import DAYS

MICROSECOND = timedelta(microseconds=1)
# Each conversion rounds a stretch down to a microsecond; so little is not a gift.
ROUNDING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """What a day costs: `dzd` for `days`."""

    dzd: int
    days: int

    def value_of(self, time: timedelta) -> Fraction:
        return Fraction(time // MICROSECOND * self.dzd, self.days)

    def time_for(self, value: Fraction) -> timedelta:
        """Rounded down to a microsecond."""
        return int(value * self.days / self.dzd) * MICROSECOND


def of(user_id: int, *, now: datetime) -> QuerySet[PaidTime]:
    """What this person paid for and has not used up, the next to be used first."""
    return PaidTime.objects.filter(payment__user_id=user_id, ends_at__gt=now).order_by("starts_at", "payment_id")


def stretches(held: UserTier, *, now: datetime) -> Iterator[tuple[PaidTime, timedelta]]:
    """The paid stretches of the tier held, each with what is left of it. No instant is counted twice."""
    cursor = now
    for stretch in of(held.user_id, now=now).filter(tier=held.tier_id):
        begin = max(stretch.starts_at, cursor)
        end = stretch.ends_at if held.expires_at is None else min(stretch.ends_at, held.expires_at)
        if end > begin:
            yield stretch, end - begin
            cursor = end


def worth_left(held: UserTier, *, now: datetime) -> Fraction | None:
    """The value of what is left; of a tier without an end, of its paid part. None: a part of it has no price."""
    value, paid = Fraction(0), timedelta()
    for stretch, left in stretches(held, now=now):
        value += rate_of(stretch).value_of(left)
        paid += left
    if held.expires_at is None:
        return value
    given = held.expires_at - now - paid
    # Without one paid stretch even the last second is a gift, and its price must be known.
    if given <= (ROUNDING if paid else timedelta()):
        return value
    price = list_rate(held)
    return None if price is None else value + price.value_of(given)


def has_no_price(held: UserTier, *, now: datetime) -> bool:
    """Whether what is left was agreed on, or given, without a price to convert it by."""
    if list_rate(held) is not None:
        return False
    return held.expires_at is None or worth_left(held, now=now) is None


def rate_of(stretch: PaidTime) -> Rate:
    return Rate(stretch.rate_dzd, stretch.rate_days)


def rate_of_held(held: UserTier, *, now: datetime) -> Rate | None:
    """What a day of the tier held costs: as last paid for; where all of it is a gift, the price list's."""
    last = of(held.user_id, now=now).filter(tier=held.tier_id).last()
    return list_rate(held) if last is None else rate_of(last)


def list_rate(held: UserTier) -> Rate | None:
    price = held.tier.price_dzd
    return Rate(price, DAYS) if price else None


def note(payment: PaymentTransaction, *, tier: str, starts_at: datetime, ends_at: datetime, rate: Rate) -> None:
    PaidTime.objects.create(
        payment=payment, tier=tier, starts_at=starts_at, ends_at=ends_at, rate_dzd=rate.dzd, rate_days=rate.days
    )


def forget(user_id: int, *, now: datetime) -> None:
    """Staff ended the tier that these stretches were in: what begins now does not contain them."""
    of(user_id, now=now).delete()


def convert(held: UserTier, *, tier: str, rate: Rate, starts_at: datetime, now: datetime) -> None:
    """Turn the stretches of the tier held into time of another one, one after the other from `starts_at` on."""
    # Of a tier that staff changed meanwhile; its time is part of what is converted as a gift.
    of(held.user_id, now=now).exclude(tier=held.tier_id).delete()
    for stretch, left in list(stretches(held, now=now)):
        stretch.starts_at, value = starts_at, rate_of(stretch).value_of(left)
        stretch.ends_at = starts_at = starts_at + rate.time_for(value)
        stretch.tier, stretch.rate_dzd, stretch.rate_days = tier, rate.dzd, rate.days
        stretch.save()


def left_of(payment: PaymentTransaction, held: UserTier, *, now: datetime) -> timedelta:
    """What is left of the time that this payment bought, in time of the tier held, which has an end."""
    stretch = PaidTime.objects.filter(payment_id=payment.pk, ends_at__gt=now).first()
    if stretch is None or held.expires_at is None:
        return timedelta()
    left = stretch.ends_at - max(stretch.starts_at, now)
    if stretch.tier != held.tier_id:
        # Staff moved the customer to another tier meanwhile. One on quote has no price: nothing is taken from it.
        price = list_rate(held)
        left = timedelta() if price is None else price.time_for(rate_of(stretch).value_of(left))
    return min(left, held.expires_at - now)


def remove(payment: PaymentTransaction, *, taken: timedelta, now: datetime) -> None:
    """The payment is refunded: what lies after its stretch comes so much sooner."""
    stretch = PaidTime.objects.filter(payment_id=payment.pk).first()
    if stretch is None:
        return
    after = of(payment.user_id, now=now).filter(tier=stretch.tier, starts_at__gte=stretch.ends_at)
    after.order_by().update(starts_at=F("starts_at") - taken, ends_at=F("ends_at") - taken)
    stretch.delete()
