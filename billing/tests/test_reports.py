"""Revenue in dinars and dollars, by day, tier and user, minus what was given back."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from billing import reports
from billing.models import PaymentTransaction

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def paid(user: User, **fields: Any) -> PaymentTransaction:
    values = {"user": user, "tier_id": "student", "amount_dzd": 1590, "status": "paid", "paid_at": NOON}
    return PaymentTransaction.objects.create(**(values | fields))


def test_three_students_are_20_dollars_74(alice: User) -> None:
    for _ in range(3):
        paid(alice)
    found = reports.revenue(NOON, NOON + DAY)
    assert (found.dzd, found.usd_rounded, found.payments) == (4770, Decimal("20.74"), 3)


def test_the_rate_is_that_of_the_payment(alice: User, settings: Any) -> None:
    paid(alice, amount_dzd=2000)
    settings.DZD_PER_USD = Decimal(250)
    paid(alice, amount_dzd=2000)
    difference = reports.revenue(NOON, NOON + DAY).usd - (Decimal(2000) / 230 + 8)
    assert abs(difference) < Decimal("1e-12")


def test_only_what_was_paid_counts(alice: User) -> None:
    for status in ("pending", "failed", "canceled", "expired", "mismatch"):
        paid(alice, status=status, paid_at=None, created_at=NOON)
    # Money of a mismatch, given back: it was never revenue.
    paid(alice, status="refunded", paid_at=None, created_at=NOON, refunded_at=NOON)
    assert reports.revenue(NOON - DAY, NOON + DAY) == reports.Revenue()


def test_a_refund_counts_on_its_own_day(alice: User) -> None:
    paid(alice, status="refunded", refunded_at=NOON + 2 * DAY)
    by_day = reports.revenue_by_day(NOON - DAY, NOON + 5 * DAY)
    assert {day: row.dzd for day, row in by_day.items()} == {date(2026, 11, 20): 1590, date(2026, 11, 22): -1590}
    assert reports.revenue(NOON - DAY, NOON + 5 * DAY).dzd == 0


def test_the_day_is_the_one_of_algiers(alice: User) -> None:
    paid(alice, paid_at=datetime(2026, 11, 20, 23, 30, tzinfo=UTC))
    assert list(reports.revenue_by_day(NOON, NOON + DAY)) == [date(2026, 11, 21)]
    assert reports.revenue_of_day(date(2026, 11, 21)).dzd == 1590
    assert reports.revenue_of_day(date(2026, 11, 20)).dzd == 0


def test_by_tier_and_by_user(alice: User, bob: User) -> None:
    paid(alice)
    paid(bob, tier_id="pro", amount_dzd=2590)
    between = (NOON, NOON + DAY)
    assert {tier: row.dzd for tier, row in reports.revenue_by_tier(*between).items()} == {"student": 1590, "pro": 2590}
    assert {user: row.dzd for user, row in reports.revenue_by_user(*between).items()} == {alice.pk: 1590, bob.pk: 2590}


def test_a_row_by_plain_sql_counts(alice: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO payment_transactions (user_id, tier, amount_dzd, status) VALUES (%s, 'student', 1590, 'paid')",
            [alice.pk],
        )
    now = timezone.now()
    assert reports.revenue(now - DAY, now + DAY).dzd == 1590


def test_what_waits_for_over_an_hour(alice: User) -> None:
    now = timezone.now()
    old = paid(alice, status="pending", paid_at=None, created_at=now - timedelta(minutes=61), handed_out=False)
    paid(alice, status="pending", paid_at=None, created_at=now - timedelta(minutes=59), handed_out=False)
    assert list(reports.pending_for_over(1)) == [old]


def test_mismatches(alice: User) -> None:
    row = paid(alice, status="mismatch", paid_at=None)
    assert list(reports.mismatches()) == [row]
