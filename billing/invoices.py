"""Invoices: made with the payment, in the same transaction; credited with the refund, likewise."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.conf import settings
from django.db import connection
from django.db.models import Max
from django.utils import timezone

from .models import Invoice, PaymentTransaction

CENTIME = Decimal("0.01")
# The key of the lock under which numbers are given ("invoices" on a telephone's keys).
NUMBERING = 46842377


def issue(payment: PaymentTransaction) -> Invoice:
    """The invoice of a payment, inside the transaction that marks it paid: no gap if that one is rolled back."""
    assert payment.starts_at is not None
    assert payment.ends_at is not None
    ht, tva = without_tax(payment.amount_dzd, settings.TVA_PERCENT)
    number, issued_at = _next_number(Invoice.Kind.INVOICE)
    return Invoice.objects.create(
        kind=Invoice.Kind.INVOICE,
        year=issued_at.year,
        number=number,
        issued_at=issued_at,
        payment=payment,
        language=payment.language,
        tier=payment.tier_id,
        days=payment.days,
        starts_at=payment.starts_at,
        ends_at=payment.ends_at,
        tva_percent=settings.TVA_PERCENT,
        amount_ht=ht,
        amount_tva=tva,
        amount_ttc=Decimal(payment.amount_dzd),
        seller=dict(settings.SELLER),
        buyer={"id": payment.user_id, "email": payment.user.email},
    )


def credit(invoice: Invoice, *, reason: str) -> Invoice:
    """The credit note that takes an invoice back: its figures, the seller as it is now, a number of its own series."""
    number, issued_at = _next_number(Invoice.Kind.CREDIT_NOTE)
    return Invoice.objects.create(
        kind=Invoice.Kind.CREDIT_NOTE,
        year=issued_at.year,
        number=number,
        issued_at=issued_at,
        payment=invoice.payment,
        credits=invoice,
        language=invoice.language,
        tier=invoice.tier,
        days=invoice.days,
        starts_at=invoice.starts_at,
        ends_at=invoice.ends_at,
        tva_percent=invoice.tva_percent,
        amount_ht=invoice.amount_ht,
        amount_tva=invoice.amount_tva,
        amount_ttc=invoice.amount_ttc,
        seller=dict(settings.SELLER),
        buyer=invoice.buyer,
        reason=reason,
    )


def without_tax(amount_dzd: int, percent: Decimal) -> tuple[Decimal, Decimal]:
    """Price before tax and the tax in it, to the centime; the two add up to the amount, to the last one."""
    before = (Decimal(amount_dzd) * 100 / (100 + percent)).quantize(CENTIME, ROUND_HALF_UP)
    return before, amount_dzd - before


def _next_number(kind: str) -> tuple[int, datetime]:
    """The next number of the year and its instant, so that numbers and dates go up together.

    One at a time, to the end of the caller's transaction: whoever comes next reads the number that was committed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [NUMBERING, kind])
    issued_at = timezone.localtime(timezone=timezone.get_default_timezone())
    last = Invoice.objects.filter(kind=kind, year=issued_at.year).aggregate(last=Max("number"))["last"]
    return (last or 0) + 1, issued_at
