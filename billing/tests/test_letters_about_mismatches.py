"""The mail that the page "We are looking at your payment" promises, and the one that tells the outcome."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing import letters, refunds, settlement, tasks
from billing.models import Letter, PaymentTransaction
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def mismatch(charlie: User, begin: Any, webhooks: Any) -> PaymentTransaction:
    payment: PaymentTransaction = begin(charlie)
    webhooks.chargily.books.faults.amount = 60
    webhooks.pay_and_tell(payment)
    webhooks.chargily.books.faults.amount = None
    payment.refresh_from_db()
    assert payment.status == "mismatch"
    return payment


def kinds() -> list[str]:
    return list(Letter.objects.order_by("id").values_list("kind", flat=True))


def test_the_mail_that_the_page_promises_is_written_once(mismatch: PaymentTransaction) -> None:
    page = Client(headers={"Accept-Language": "en"}).get("/payment/success", {"checkout_id": str(mismatch.checkout_id)})
    assert "writes to you" in page.content.decode()
    for _minute in range(3):
        tasks.send_letters()
    (message,) = mail.outbox
    assert message.to == ["charlie@example.dz"]
    assert "1\u00a0590" in message.body
    assert "/account" in message.body
    assert kinds() == ["mismatch"]


@pytest.mark.parametrize(
    ("language", "subject", "direction"),
    [
        ("fr", "Nous examinons votre paiement", "ltr"),
        ("ar", "نحن ندرس دفعك", "rtl"),
        ("en", "We are looking at your payment", "ltr"),
    ],
)
def test_it_is_in_the_customers_language(
    language: str, subject: str, direction: str, mismatch: PaymentTransaction
) -> None:
    User.objects.update(language=language)
    tasks.send_letters()
    (message,) = mail.outbox
    assert message.subject == subject
    html = str(message.alternatives[0][0])  # type: ignore[attr-defined]
    assert f'dir="{direction}"' in html
    assert ("A person looks at it now" in html) == (language == "en")


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_money_that_went_back_is_written_about_once_with_the_reason(
    language: str, mismatch: PaymentTransaction, sara: User
) -> None:
    User.objects.update(language=language)
    tasks.send_letters()
    refunds.refund(payment=mismatch, by=sara, reason="Montant faux & corrigé")
    for _minute in range(3):
        tasks.send_letters()
    assert kinds() == ["mismatch", "returned"]
    message = mail.outbox[-1]
    assert "Montant faux & corrigé" in message.body
    assert "Montant faux &amp; corrigé" in str(message.alternatives[0][0])  # type: ignore[attr-defined]
    assert ("was given back" in message.subject) == (language == "en")


def test_a_mismatch_that_staff_accept_is_told_by_its_receipt(mismatch: PaymentTransaction) -> None:
    User.objects.update(language="en")
    tasks.send_letters()
    settlement.settle(mismatch, by_staff=True)
    mismatch.refresh_from_db()
    assert mismatch.status == "paid"
    tasks.send_letters()
    tasks.send_letters()
    assert kinds() == ["mismatch", "receipt"]
    assert "that we were looking at: it is accepted" in mail.outbox[-1].body


def test_an_ordinary_receipt_speaks_of_no_mismatch(charlie: User, begin: Any, webhooks: Any) -> None:
    User.objects.update(language="en")
    webhooks.pay_and_tell(begin(charlie))
    tasks.send_letters()
    (message,) = mail.outbox
    assert "looking at" not in message.body


def test_a_mismatch_settled_before_the_mail_went_out_is_not_written_about(
    mismatch: PaymentTransaction, sara: User
) -> None:
    letters.note_mismatches(timezone.now())
    refunds.refund(payment=mismatch, by=sara, reason="x")
    tasks.send_letters()
    assert [letter.trouble for letter in Letter.objects.filter(kind="mismatch")] == [letters.NOT_WANTED]
    assert len(mail.outbox) == 1


def test_an_ordinary_refund_has_its_credit_note_and_no_second_mail(
    charlie: User, sara: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment)
    payment.refresh_from_db()
    refunds.refund(payment=payment, by=sara, reason="x")
    tasks.send_letters()
    assert kinds() == ["receipt", "receipt"]


def test_old_mismatches_are_left_in_peace(mismatch: PaymentTransaction) -> None:
    PaymentTransaction.objects.update(created_at=timezone.now() - timedelta(days=31))
    tasks.send_letters()
    assert kinds() == []


def test_a_mail_is_about_one_thing(mismatch: PaymentTransaction, charlie: User) -> None:
    for fields in ({"kind": "mismatch"}, {"kind": "receipt", "payment": mismatch}, {"kind": "reminder_1"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Letter.objects.create(user=charlie, **fields)


def test_two_beats_at_once_write_one_mail(committed: None, begin: Any, webhooks: Any) -> None:
    charlie = User.objects.create_user("charlie@example.dz")
    payment = begin(charlie)
    PaymentTransaction.objects.filter(pk=payment.pk).update(status="mismatch")
    _done, raised = at_once(4, tasks.send_letters)
    assert raised == []
    assert kinds() == ["mismatch"]
    assert len(mail.outbox) == 1
