"""Refunds. Chargily has no call for them: the money goes back by hand, and this records who did it and why."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts import audit
from accounts.models import User

from . import invoices, subscriptions
from .errors import NotRefundable
from .models import FREE, Invoice, PaymentTransaction

logger = logging.getLogger(__name__)

Kind = PaymentTransaction.Status
# The money of a mismatch may be given back as well; it never bought anything.
REFUNDABLE = (Kind.PAID, Kind.MISMATCH)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a refund takes from the tier held: the time, and when it ends then (None: nothing is held that ends)."""

    tier: str
    taken: timedelta
    ends_at: datetime | None
    ends_now: bool


def effect_of(payment: PaymentTransaction) -> Effect:
    """What would happen now, to be shown before it is done. Raises `NotRefundable`."""
    if payment.status not in REFUNDABLE:
        raise NotRefundable(payment.status)
    now = timezone.now()
    held = subscriptions.held_by(payment.user_id)
    taken = subscriptions.time_to_take_back(payment, held, now=now)
    if held is None or held.tier_id == FREE or held.expires_at is None or not held.in_force(now):
        return Effect(FREE if held is None or not held.in_force(now) else held.tier_id, taken, None, False)
    ends_at = held.expires_at - taken
    return Effect(held.tier_id, taken, ends_at, ends_at <= now)


def refund(
    payment: PaymentTransaction, *, by: User, reason: str, request: HttpRequest | None = None
) -> PaymentTransaction:
    """Record it: status, credit note, tier and trail, in one transaction. Raises `NotRefundable`."""
    with transaction.atomic():
        held = subscriptions.lock(payment.user_id)
        now = timezone.now()
        # Two of the staff at once, or a webhook meanwhile: one changes the status, and money never wins over refunded.
        done = PaymentTransaction.objects.filter(pk=payment.pk, status__in=REFUNDABLE).update(
            status=Kind.REFUNDED, refunded_at=now, refunded_by=by, refund_reason=reason, next_check_at=None
        )
        payment.refresh_from_db()
        if not done:
            raise NotRefundable(payment.status)
        taken = subscriptions.take_back(payment, held, at=now)
        PaymentTransaction.objects.filter(pk=payment.pk).update(taken_back=taken or None)
        invoice = Invoice.objects.filter(payment=payment, kind=Invoice.Kind.INVOICE).first()
        note = invoices.credit(invoice, reason=reason) if invoice is not None else None
        payment.refresh_from_db()
        details = {
            "amount_dzd": payment.amount_dzd,
            "reason": reason,
            "taken_back": str(taken),
            "credit_note": str(note),
        }
        audit.record("payment.refund", by=by, subject=payment, details=details, request=request)
    logger.warning("Payment %s of user %s is refunded by %s: %s taken back, credit note %s", payment.pk,
                   payment.user_id, by.pk, taken, note)  # fmt: skip
    return payment
