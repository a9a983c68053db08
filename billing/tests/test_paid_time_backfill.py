"""The migration that explains the time held by the payments that bought it."""

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from accounts.models import User
from billing.models import PaidTime, UserTier

pytestmark = pytest.mark.django_db

lay_out = import_module("billing.migrations.0007_paid_time").lay_out
Kept = list[tuple[int, str, int, Any]]


def explained() -> Kept:
    """Per payment: tier, the price of its rate, and the days that are left."""
    now = timezone.now()
    return [
        (row.payment_id, row.tier, row.rate_dzd,
         pytest.approx((row.ends_at - max(row.starts_at, now)) / timedelta(days=1), abs=0.01))
        for row in PaidTime.objects.order_by("starts_at")
    ]  # fmt: skip


def days(kept: Kept) -> Kept:
    return [(pk, tier, rate, left.expected) for pk, tier, rate, left in kept]


@pytest.mark.parametrize("bought", [["student"], ["student", "student"], ["student", "pro"], ["pro", "student"]])
def test_rows_from_before_are_explained_as_new_ones_are(
    bought: list[str], charlie: User, begin: Any, webhooks: Any, travel: Any
) -> None:
    for tier in bought:
        webhooks.pay_and_tell(begin(charlie, tier))
    travel(5 * 86_400)
    kept = explained()
    PaidTime.objects.all().delete()
    lay_out(apps, None)
    assert days(explained()) == kept


def test_a_gift_is_explained_by_no_payment(charlie: User) -> None:
    UserTier.objects.create(user=charlie, tier_id="pro", expires_at=timezone.now() + timedelta(days=9))
    lay_out(apps, None)
    assert explained() == []
