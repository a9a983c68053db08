"""A late answer does not undo a payment, and a processed event is not processed again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing import entitlements, settlement
from billing.gateways import the_gateway
from billing.models import Invoice, PaymentTransaction, UserTier, WebhookEvent
from billing.settlement import Result

pytestmark = pytest.mark.django_db

CLOSING = ("failed", "expired", "canceled", "cancelled")


def state_of(payment: PaymentTransaction) -> tuple[str, str, int]:
    row = PaymentTransaction.objects.get(pk=payment.pk)
    return row.status, row.failure_code, Invoice.objects.filter(payment=row).count()


@pytest.mark.parametrize("answer", CLOSING)
def test_an_answer_fetched_before_the_money_does_not_close_a_paid_payment(
    answer: str, charlie: User, begin: Any, webhooks: Any
) -> None:
    """The race: one process fetches `failed`, another applies the money, then the first one writes."""
    payment = begin(charlie)
    webhooks.pay_and_tell(payment)
    paid = UserTier.objects.get(user=charlie).expires_at
    truth = replace(the_gateway().fetch(payment.checkout_id), status=answer)
    # `payment` still says `pending`, as the slower process read it.
    assert settlement.apply(payment, truth) == Result.UNCHANGED
    assert state_of(payment) == ("paid", "", 1)
    assert UserTier.objects.get(user=charlie).expires_at == paid


@pytest.mark.parametrize("status", ["refunded", "mismatch"])
@pytest.mark.parametrize("answer", CLOSING)
def test_a_late_closing_answer_does_not_touch_what_staff_decides(
    status: str, answer: str, charlie: User, begin: Any
) -> None:
    payment = begin(charlie)
    truth = replace(the_gateway().fetch(payment.checkout_id), status=answer)
    PaymentTransaction.objects.filter(pk=payment.pk).update(status=status, failure_code="x")
    assert settlement.apply(payment, truth) == Result.UNCHANGED
    assert state_of(payment) == (status, "x", 0)


def test_a_checkout_that_is_gone_does_not_expire_a_paid_payment(
    charlie: User, begin: Any, webhooks: Any, travel: Any
) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment)
    del webhooks.chargily.books.checkouts[payment.checkout_id]
    travel(3600)
    assert settlement.settle(payment) == Result.UNCHANGED
    assert state_of(payment) == ("paid", "", 1)


@pytest.mark.parametrize("status", ["paid", "failed", "canceled"])
def test_a_processed_event_is_counted_and_not_processed_again(
    status: str, charlie: User, begin: Any, webhooks: Any, monkeypatch: Any
) -> None:
    payment = begin(charlie)
    webhooks.pay(payment, status)
    body = webhooks.event(payment, f"checkout.{status}")
    assert webhooks.send(body).status_code == 200
    first = WebhookEvent.objects.get()
    assert first.processed_at is not None

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a processed event was processed again")

    monkeypatch.setattr("billing.webhooks._outcome_of", never)
    assert webhooks.send(body).status_code == 200
    again = WebhookEvent.objects.get()
    assert (again.deliveries, again.outcome, again.processed_at) == (2, first.outcome, first.processed_at)


def test_an_event_that_was_too_early_is_processed_when_it_comes_again(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    body = webhooks.event(payment)
    webhooks.send(body)
    assert (WebhookEvent.objects.get().processed_at, state_of(payment)[0]) == (None, "pending")
    webhooks.pay(payment)
    webhooks.send(body)
    assert state_of(payment) == ("paid", "", 1)


def test_lists_of_holders_leave_out_tiers_that_have_ended(charlie: User, bob: User, alice: User) -> None:
    """Bob's has ended and is not swept yet; Alice's has no end."""
    now = timezone.now()
    UserTier.objects.update_or_create(
        user=charlie, defaults={"tier_id": "pro", "expires_at": now + timedelta(seconds=60)}
    )
    UserTier.objects.update_or_create(user=bob, defaults={"tier_id": "pro", "expires_at": now - timedelta(seconds=1)})
    assert entitlements.holders() == {"pro": 2}
    assert entitlements.tiers_of([charlie.pk, bob.pk, alice.pk]) == {
        charlie.pk: "pro", bob.pk: "free", alice.pk: "pro",
    }  # fmt: skip


def test_who_ends_during_the_day_leaves_the_lists_at_the_second(charlie: User, travel: Any) -> None:
    ends_at = timezone.now() + timedelta(seconds=60)
    UserTier.objects.update_or_create(user=charlie, defaults={"tier_id": "pro", "expires_at": ends_at})
    travel(61)
    assert (entitlements.holders(), entitlements.tiers_of([charlie.pk])) == ({}, {charlie.pk: "free"})
