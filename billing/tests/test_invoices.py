"""Invoices: their figures, their numbers, and who stands on them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from billing import invoices, settlement
from billing.invoices import without_tax
from billing.models import Invoice, PaymentTransaction
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db


@given(st.integers(0, 10**9), st.decimals(0, 99, places=2))
def test_before_tax_and_tax_add_up(amount: int, percent: Decimal) -> None:
    before, tax = without_tax(amount, percent)
    assert before + tax == amount
    assert abs(before * percent / 100 - tax) <= Decimal("0.01")
    assert before == before.quantize(Decimal("0.01"))


@pytest.mark.parametrize(
    ("amount", "ht", "tva"), [(1590, "1336.13", "253.87"), (2590, "2176.47", "413.53"), (119, "100.00", "19.00")]
)
def test_at_19_percent(amount: int, ht: str, tva: str) -> None:
    assert without_tax(amount, Decimal(19)) == (Decimal(ht), Decimal(tva))


def test_it_stays_as_it_was(charlie: User, begin: Any, webhooks: Any, settings: Any) -> None:
    settings.SELLER = {**settings.SELLER, "name": "IA Factory SARL", "nif": "000016"}
    webhooks.pay_and_tell(begin(charlie))
    settings.SELLER = {**settings.SELLER, "name": "Another", "nif": "999"}
    settings.TVA_PERCENT = Decimal(9)
    charlie.email = "new@example.dz"
    charlie.save()
    invoice = Invoice.objects.get()
    assert (invoice.seller["name"], invoice.seller["nif"]) == ("IA Factory SARL", "000016")
    assert invoice.buyer == {"id": charlie.pk, "email": "charlie@example.dz"}
    assert invoice.tva_percent == 19


def test_numbers_begin_again_with_the_year_of_algiers(charlie: User, begin: Any, webhooks: Any) -> None:
    # 23:30 of UTC is half past midnight in Algiers.
    for instant in (
        datetime(2026, 12, 31, 22, 30, tzinfo=UTC),
        datetime(2026, 12, 31, 22, 40, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
    ):
        with time_machine.travel(instant):
            webhooks.pay_and_tell(begin(charlie))
    references = [invoice.reference for invoice in Invoice.objects.order_by("id")]
    assert references == ["F-2026-000001", "F-2026-000002", "F-2027-000001"]


@pytest.mark.usefixtures("committed")
def test_no_gap_and_no_double_under_concurrency(chargily: Any, begin: Any, webhooks: Any, monkeypatch: Any) -> None:
    """Every third one fails after it had its number."""
    from conftest import person

    payments = [begin(person(f"user{number}@example.dz")) for number in range(12)]
    for payment in payments:
        webhooks.pay(payment)
    issue = invoices.issue

    def sometimes(payment: PaymentTransaction) -> Invoice:
        invoice = issue(payment)
        if payment.pk % 3 == 0:
            raise RuntimeError("crash")
        return invoice

    monkeypatch.setattr(invoices, "issue", sometimes)
    turn = iter(payments)
    _done, raised = at_once(12, lambda: settlement.settle(next(turn)))
    assert len(raised) == 4
    issued = Invoice.objects.order_by("number")
    assert [invoice.number for invoice in issued] == list(range(1, 9))
    instants = [invoice.issued_at for invoice in issued]
    assert instants == sorted(instants)
