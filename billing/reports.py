"""Revenue and what needs a look, for the dashboard and the alerts. Days are the product's (Africa/Algiers)."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, DecimalField, ExpressionWrapper, F, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncDate
from django.utils import timezone

from .models import PaymentTransaction

CENT = Decimal("0.01")

# When the money came. A row written by hand may lack the instant of payment.
CAME_AT = Coalesce("paid_at", "created_at")
# At the rate stored with each payment, so that a new rate does not change the past.
USD = Sum(
    ExpressionWrapper(F("amount_dzd") / F("dzd_per_usd"), output_field=DecimalField(max_digits=30, decimal_places=12))
)


@dataclass(frozen=True, slots=True)
class Revenue:
    """What came in minus what was given back, refunds on the day of the refund. Dinars whole; dollars not rounded."""

    dzd: int = 0
    usd: Decimal = Decimal(0)
    payments: int = 0
    refunds: int = 0

    @property
    def usd_rounded(self) -> Decimal:
        return self.usd.quantize(CENT)


def revenue(start: datetime, end: datetime) -> Revenue:
    """Of the instants from `start` up to, not including, `end`."""
    return revenue_by_key(start, end, None).get(None, Revenue())


def revenue_of_day(day: date) -> Revenue:
    return revenue(*instants_of(day))


def revenue_by_day(start: datetime, end: datetime) -> dict[date, Revenue]:
    return revenue_by_key(start, end, "day")


def revenue_by_tier(start: datetime, end: datetime) -> dict[str, Revenue]:
    return revenue_by_key(start, end, "tier_id")


def revenue_by_user(start: datetime, end: datetime, *, among: Collection[int] | None = None) -> dict[int, Revenue]:
    return revenue_by_key(start, end, "user_id", among=among)


def revenue_by_key(
    start: datetime, end: datetime, key: str | None, *, among: Collection[int] | None = None
) -> dict[Any, Revenue]:
    """Grouped by a column, by `day`, or by nothing (under the key None); of everyone, or of some users."""
    found: dict[Any, Revenue] = {}
    applied = PaymentTransaction.objects.applied()
    if among is not None:
        applied = applied.filter(user_id__in=among)
    paid = applied.annotate(came_at=CAME_AT).filter(came_at__gte=start, came_at__lt=end)
    for group, row in _sums(paid, "came_at", key):
        found[group] = Revenue(row["dzd"], row["usd"], payments=row["number"])
    refunded = applied.filter(status="refunded", refunded_at__gte=start, refunded_at__lt=end)
    for group, row in _sums(refunded, "refunded_at", key):
        before = found.get(group, Revenue())
        found[group] = Revenue(
            before.dzd - row["dzd"], before.usd - row["usd"], before.payments, before.refunds + row["number"]
        )
    return found


def _sums(rows: QuerySet[PaymentTransaction], instant: str, key: str | None) -> Iterator[tuple[Any, dict[str, Any]]]:
    totals: Any = {"dzd": Sum("amount_dzd"), "usd": USD, "number": Count("id")}
    if key is None:
        row = rows.aggregate(**totals)
        if row["number"]:
            yield None, row
        return
    if key == "day":
        rows = rows.annotate(day=TruncDate(instant))  # in the product's time zone
    for row in rows.order_by().values(key).annotate(**totals):
        yield row[key], row


def instants_of(day: date) -> tuple[datetime, datetime]:
    """The first instant of a day in Algiers, and of the next."""
    zone = timezone.get_default_timezone()
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    following = day + timedelta(days=1)
    return start, datetime(following.year, following.month, following.day, tzinfo=zone)


def pending_for_over(hours: float) -> QuerySet[PaymentTransaction]:
    """Purchases that Chargily has not closed for this long: it is away, or its answers say nothing."""
    before = timezone.now() - timedelta(hours=hours)
    return PaymentTransaction.objects.pending_since_before(before).select_related("user")


def mismatches() -> QuerySet[PaymentTransaction]:
    """Money that arrived and was not what we asked for: each waits for a person to settle again or refund."""
    return PaymentTransaction.objects.filter(status=PaymentTransaction.Status.MISMATCH).select_related("user")
