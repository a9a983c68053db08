"""Money given back by hand: recorded once, credited, and the days taken back."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing import refunds, reports, settlement, subscriptions
from billing.errors import NotRefundable
from billing.models import Invoice, PaymentTransaction, UserTier
from billing.settlement import Result
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db

DAY = 86_400


@pytest.fixture
def buy(begin: Any, webhooks: Any) -> Any:
    def buy(user: User, tier: str = "student") -> PaymentTransaction:
        payment: PaymentTransaction = begin(user, tier)
        assert webhooks.pay_and_tell(payment).status_code == 200
        payment.refresh_from_db()
        return payment

    return buy


def left(user: User) -> float:
    found = subscriptions.status(user_id=user.pk)
    return 0 if found.expires_at is None else (found.expires_at - timezone.now()) / timedelta(days=1)


def test_a_refund(charlie: User, sara: User, buy: Any, api: Any) -> None:
    payment = buy(charlie)
    effect = refunds.effect_of(payment)
    assert (effect.tier, effect.ends_now) == ("student", True)
    refunds.refund(payment, by=sara, reason="Paid twice by mistake.")
    assert (payment.status, payment.refunded_by, payment.refund_reason) == ("refunded", sara, "Paid twice by mistake.")
    assert left(charlie) == 0
    invoice, note = Invoice.objects.order_by("id")
    assert (note.reference[0], note.number, note.credits, note.amount_ttc) == ("A", 1, invoice, invoice.amount_ttc)
    assert note.reason == "Paid twice by mistake."
    now = timezone.now()
    assert reports.revenue(now - timedelta(days=1), now + timedelta(days=1)).dzd == 0
    (row,) = api(charlie).get("/payment/transactions").json()["results"]
    assert row["status"] == "refunded"


def test_the_other_payments_days_stay(charlie: User, sara: User, buy: Any) -> None:
    first, _second = buy(charlie), buy(charlie)
    refunds.refund(first, by=sara, reason="x")
    assert left(charlie) == pytest.approx(30, abs=0.01)


def test_no_more_is_taken_than_is_left(charlie: User, sara: User, buy: Any, travel: Any) -> None:
    payment = buy(charlie)
    travel(10 * DAY)
    refunds.refund(payment, by=sara, reason="x")
    assert payment.taken_back is not None
    assert payment.taken_back / timedelta(days=1) == pytest.approx(20, abs=0.01)
    assert left(charlie) == 0


def test_days_used_up_are_not_taken_from_later_ones(charlie: User, sara: User, buy: Any, travel: Any) -> None:
    first = buy(charlie)
    travel(31 * DAY)
    buy(charlie)
    assert refunds.effect_of(first).taken == timedelta()
    refunds.refund(first, by=sara, reason="x")
    assert left(charlie) == pytest.approx(30, abs=0.01)


def test_days_of_another_tier_are_taken_by_price(charlie: User, sara: User, buy: Any) -> None:
    first = buy(charlie, "student")
    buy(charlie, "pro")
    assert left(charlie) == pytest.approx(30 + 30 * 1590 / 2590, abs=0.01)
    refunds.refund(first, by=sara, reason="x")
    assert left(charlie) == pytest.approx(30, abs=0.01)


def test_what_was_converted_can_be_taken_back_as_long_as_it_lasts(
    charlie: User, sara: User, buy: Any, travel: Any
) -> None:
    first = buy(charlie, "student")
    buy(charlie, "pro")
    travel(31 * DAY)
    refunds.refund(first, by=sara, reason="x")
    assert left(charlie) == 0


def test_a_tier_without_end_is_left_alone(charlie: User, sara: User, buy: Any) -> None:
    payment = buy(charlie)
    UserTier.objects.update(tier_id="enterprise", expires_at=None)
    assert refunds.effect_of(payment) == refunds.Effect("enterprise", timedelta(), None, False)
    refunds.refund(payment, by=sara, reason="x")
    assert subscriptions.status(user_id=charlie.pk).tier == "enterprise"


@pytest.mark.parametrize("status", ["pending", "failed", "canceled", "expired", "refunded"])
def test_what_was_not_paid_cannot_be_refunded(charlie: User, sara: User, status: str) -> None:
    payment = PaymentTransaction.objects.create(user=charlie, tier_id="pro", amount_dzd=2590, status=status)
    with pytest.raises(NotRefundable):
        refunds.refund(payment, by=sara, reason="x")
    with pytest.raises(NotRefundable):
        refunds.effect_of(payment)


def test_the_money_of_a_mismatch(charlie: User, sara: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.chargily.books.faults.amount = 100
    webhooks.pay_and_tell(payment)
    payment.refresh_from_db()
    refunds.refund(payment, by=sara, reason="Wrong amount.")
    assert payment.status == "refunded"
    assert not Invoice.objects.exists()
    now = timezone.now()
    assert reports.revenue(now - timedelta(days=1), now + timedelta(days=1)).dzd == 0


def test_money_never_wins_over_a_refund(charlie: User, sara: User, buy: Any, webhooks: Any) -> None:
    payment = buy(charlie)
    refunds.refund(payment, by=sara, reason="x")
    assert webhooks.send(webhooks.event(payment)).status_code == 200
    assert settlement.settle(payment) == Result.UNCHANGED
    assert settlement.settle(payment, by_staff=True) == Result.UNCHANGED
    payment.refresh_from_db()
    assert (payment.status, left(charlie), Invoice.objects.count()) == ("refunded", 0, 2)


@pytest.mark.usefixtures("committed")
def test_two_of_the_staff_at_once(chargily: Any, begin: Any, webhooks: Any) -> None:
    from conftest import person

    charlie, sara = person("charlie@example.dz"), person("sara@example.dz", is_staff=True)
    first = begin(charlie)
    webhooks.pay_and_tell(first)
    webhooks.pay_and_tell(begin(charlie))
    done, raised = at_once(6, lambda: refunds.refund(PaymentTransaction.objects.get(pk=first.pk), by=sara, reason="x"))
    assert (len(done), {type(error) for error in raised}) == (1, {NotRefundable})
    assert Invoice.objects.filter(kind="credit_note").count() == 1
    assert left(charlie) == pytest.approx(30, abs=0.01)


@pytest.mark.usefixtures("committed")
def test_refunds_and_payments_of_one_person_at_once(chargily: Any, begin: Any, webhooks: Any) -> None:
    """They lock the person first: nobody waits crosswise."""
    from conftest import person

    charlie, sara = person("charlie@example.dz"), person("sara@example.dz", is_staff=True)
    first = begin(charlie)
    webhooks.pay_and_tell(first)
    others = [begin(charlie, tier) for tier in ("pro", "student")]
    for other in others:
        webhooks.pay(other)
    turn = iter([first, *others] * 3)

    def work() -> None:
        payment = PaymentTransaction.objects.get(pk=next(turn).pk)
        if payment == first:
            refunds.refund(payment, by=sara, reason="x")
        else:
            settlement.settle(payment)

    _done, raised = at_once(9, work)
    assert {type(error) for error in raised} == {NotRefundable}
    assert PaymentTransaction.objects.filter(status="paid").count() == 2
    numbers = Invoice.objects.filter(kind="invoice").values_list("number", flat=True)
    assert sorted(numbers) == [1, 2, 3]
