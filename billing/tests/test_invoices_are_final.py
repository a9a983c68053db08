"""Invoices are never edited: not by the model, not by a queryset, not by SQL."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import User
from billing.models import Invoice, InvoiceIsFinal, PaymentTransaction

pytestmark = pytest.mark.django_db


def invoice(user: User, **fields: Any) -> Invoice:
    now = timezone.now()
    payment = PaymentTransaction.objects.create(user=user, tier_id="student", amount_dzd=1590, status="paid")
    values: dict[str, Any] = {
        "year": 2026,
        "number": 1,
        "payment": payment,
        "issued_at": now,
        "language": "fr",
        "tier": "student",
        "days": 30,
        "starts_at": now,
        "ends_at": now + timedelta(days=30),
        "tva_percent": Decimal(19),
        "amount_ht": Decimal("1336.13"),
        "amount_tva": Decimal("253.87"),
        "amount_ttc": Decimal(1590),
        "seller": {"name": "IA Factory"},
        "buyer": {"id": user.pk, "email": user.email},
    }
    return Invoice.objects.create(**(values | fields))


def test_its_reference(alice: User) -> None:
    assert invoice(alice, number=123).reference == "F-2026-000123"


def test_the_model_refuses(alice: User) -> None:
    row = invoice(alice)
    row.amount_ttc = Decimal(1)
    with pytest.raises(InvoiceIsFinal):
        row.save()
    with pytest.raises(InvoiceIsFinal):
        row.delete()


def test_a_queryset_refuses(alice: User) -> None:
    invoice(alice)
    with pytest.raises(InvoiceIsFinal):
        Invoice.objects.update(number=2)
    with pytest.raises(InvoiceIsFinal):
        Invoice.objects.all().delete()


@pytest.mark.parametrize("statement", ["UPDATE invoices SET number = 2", "DELETE FROM invoices"])
def test_sql_is_refused(alice: User, statement: str) -> None:
    invoice(alice)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Invoice.objects.get().number == 1


@pytest.mark.parametrize("wrong", [{"amount_ht": Decimal(1)}, {"number": 0}, {"kind": "credit_note"}])
def test_what_cannot_be_right_is_refused(alice: User, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        invoice(alice, **wrong)


def test_a_number_is_given_once(alice: User, bob: User) -> None:
    invoice(alice)
    with pytest.raises(IntegrityError):
        invoice(bob)
