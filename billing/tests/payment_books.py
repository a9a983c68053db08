"""The books that the state machine of payments keeps: what somebody should hold, replayed from what was paid."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import ClassVar

from billing.models import PaymentTransaction

RANKS = {"free": 0, "student": 1, "pro": 2, "enterprise": 3}
BOUGHT = timedelta(days=30)
MICROSECOND = timedelta(microseconds=1)
START = datetime(2026, 12, 30, 9, tzinfo=UTC)


@dataclass
class Stretch:
    """Time that one payment explains, and what a day of it cost."""

    payment: int
    length: timedelta
    rate: Fraction


def price_of(payment: PaymentTransaction) -> Fraction:
    return Fraction(payment.amount_dzd, payment.days)


def in_time(value: Fraction) -> timedelta:
    return int(value) * MICROSECOND


@dataclass
class Books:
    """What the model thinks somebody holds: stretches that are used up one after the other from `since` on."""

    tier: str = "free"
    since: datetime = START
    stretches: list[Stretch] = field(default_factory=list)
    # What rounding left over; it lies behind the stretch before it, and is worth nothing.
    ROUNDED: ClassVar[int] = -1

    @property
    def ends_at(self) -> datetime:
        return self.since + sum((each.length for each in self.stretches), timedelta())

    def holds(self, now: datetime) -> bool:
        return self.ends_at > now

    def use_up(self, now: datetime) -> None:
        passed = max(now - self.since, timedelta())
        for each in self.stretches:
            used = min(each.length, passed)
            each.length -= used
            passed -= used
        self.stretches = [each for each in self.stretches if each.length]
        self.since = now

    def bought(self, payment: PaymentTransaction, now: datetime) -> None:
        self.use_up(now)
        price = price_of(payment)
        if not self.stretches or self.tier == payment.tier_id:
            self.tier = payment.tier_id
            self.stretches.append(Stretch(payment.pk, BOUGHT, price))
        elif RANKS[payment.tier_id] < RANKS[self.tier] and payment.gives_way != self.tier:
            rate = [each.rate for each in self.stretches if each.payment != self.ROUNDED][-1]
            length = in_time(BOUGHT // MICROSECOND * price / rate)
            self.stretches.append(Stretch(payment.pk, length, rate))
        else:
            self.convert(payment, price)

    def convert(self, payment: PaymentTransaction, price: Fraction) -> None:
        paid = [each for each in self.stretches if each.payment != self.ROUNDED]
        values = [each.length // MICROSECOND * each.rate for each in paid]
        turned = [
            Stretch(each.payment, in_time(value / price), price) for each, value in zip(paid, values, strict=True)
        ]
        lost = in_time(sum(values, Fraction()) / price) - sum((each.length for each in turned), timedelta())
        self.tier = payment.tier_id
        self.stretches = [Stretch(payment.pk, BOUGHT, price), *turned, Stretch(self.ROUNDED, lost, price)]

    def given_back(self, payment: PaymentTransaction, now: datetime) -> None:
        self.use_up(now)
        self.stretches = [each for each in self.stretches if each.payment != payment.pk]
