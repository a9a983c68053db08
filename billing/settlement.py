"""From what Chargily says of a checkout to what becomes of our payment: exactly once, whoever asks and how often.

The truth is always fetched; a webhook only says that it is time to. Money wins over pending, expired, failed and
canceled; nothing wins over paid or refunded.
"""

import logging
from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from . import invoices, subscriptions
from .errors import NoSuchCheckout
from .gateways import Checkout, the_gateway
from .models import PaymentTransaction
from .models.payments import UNDECIDED

logger = logging.getLogger(__name__)

# Chargily closes a checkout by itself; its clock and ours may differ by so much.
GRACE = timedelta(minutes=5)
# A customer at the bank's page for a day is no longer there.
LONGEST_PROCESSING = timedelta(days=1)

Kind = PaymentTransaction.Status
CLOSED = {"failed": Kind.FAILED, "canceled": Kind.CANCELED, "cancelled": Kind.CANCELED, "expired": Kind.EXPIRED}


class Result(StrEnum):
    """What a look at the truth changed."""

    APPLIED = "applied"
    CLOSED = "closed"
    MISMATCH = "mismatch"
    WAITING = "waiting"
    UNCHANGED = "unchanged"


def settle(payment: PaymentTransaction, *, by_staff: bool = False) -> Result:
    """Ask Chargily about a payment, and do what follows. Raises `GatewayError`. Staff may settle a mismatch again."""
    if payment.checkout_id is None:
        return _close(payment, Kind.EXPIRED, "abandoned") if _is_over(payment) else Result.WAITING
    if payment.livemode != (settings.CHARGILY_MODE == "live"):
        # A checkout of the other mode cannot be asked after with this key.
        return _close(payment, Kind.EXPIRED, "other_mode") if _is_over(payment) else Result.WAITING
    gateway = the_gateway()
    try:
        truth = gateway.fetch(payment.checkout_id)
    except NoSuchCheckout:
        return _close(payment, Kind.EXPIRED, "no_such_checkout") if _is_over(payment) else Result.WAITING
    return apply(payment, truth, by_staff=by_staff)


def apply(payment: PaymentTransaction, truth: Checkout, *, by_staff: bool = False) -> Result:
    """`payment` is brought up to date."""
    if truth.status == "paid":
        why = difference(payment, truth)
        return _hand_to_staff(payment, f"mismatch: {why}") if why else _paid(payment, truth, by_staff=by_staff)
    if truth.status in CLOSED:
        return _close(payment, CLOSED[truth.status], "")
    if truth.status == "processing":
        over = timezone.now() > payment.created_at + LONGEST_PROCESSING
    else:
        over = truth.status == "pending" and _is_over(payment)
        if truth.status != "pending":
            logger.error("Error: payment %s: Chargily says %.32r, which is unknown", payment.pk, truth.status)
    return _close(payment, Kind.EXPIRED, "") if over else Result.WAITING


def difference(payment: PaymentTransaction, truth: Checkout) -> str:
    """Why what was paid is not what we asked for, or nothing."""
    return ", ".join([*(["id"] if truth.id != payment.checkout_id else []), *differs_from_order(payment, truth)])


def differs_from_order(payment: PaymentTransaction, truth: Checkout) -> list[str]:
    compared = {
        "amount": truth.amount == payment.amount_dzd,
        "currency": truth.currency == "dzd",
        "livemode": truth.livemode is not None
        and truth.livemode == payment.livemode == (settings.CHARGILY_MODE == "live"),
    }
    return [name for name, same in compared.items() if not same]


def _paid(payment: PaymentTransaction, truth: Checkout, *, by_staff: bool) -> Result:
    """Paid, granted and invoiced in one transaction: all of it or nothing, and once."""
    open_to_money = [*PaymentTransaction.OPEN_TO_MONEY, *([Kind.MISMATCH] if by_staff else [])]
    with transaction.atomic():
        held = subscriptions.lock(payment.user_id)
        now = timezone.now()
        payment.refresh_from_db()
        if subscriptions.grant(payment, held, at=now) is None:
            # Paid already, and another answer comes twice: the condition inside finds nothing to change.
            return _hand_to_staff(payment, f"{UNDECIDED}holds {held.tier_id}")
        # The race of two webhooks, the task, the success page and staff: the row's lock lets one of them change the
        # status; the others wait for its commit, find their condition false, and change nothing.
        won = PaymentTransaction.objects.filter(pk=payment.pk, status__in=open_to_money).update(
            status=Kind.PAID, paid_at=now, payment_method=truth.payment_method, failure_code="", next_check_at=None
        )
        payment.refresh_from_db()
        if not won:
            return Result.UNCHANGED
        terms = subscriptions.activate(payment, held, at=now)
        payment.starts_at, payment.ends_at = terms.starts_at, terms.ends_at
        payment.converted_from, payment.converted = terms.converted_from, terms.converted or None
        payment.save(update_fields=["starts_at", "ends_at", "converted_from", "converted"])
        invoice = invoices.issue(payment)
    logger.info("Payment %s of user %s is applied: %s until %s, invoice %s", payment.pk, payment.user_id,
                payment.tier_id, terms.ends_at, invoice.reference)  # fmt: skip
    return Result.APPLIED


def _hand_to_staff(payment: PaymentTransaction, code: str) -> Result:
    """One case for a person per payment: its status is what the alert counts and what the admin lists."""
    changed = PaymentTransaction.objects.filter(pk=payment.pk, status__in=PaymentTransaction.OPEN_TO_MONEY).update(
        status=Kind.MISMATCH, failure_code=code, next_check_at=None
    )
    if not changed:
        # A case already, for another reason maybe: staff and customer read the one that is true now. The condition
        # keeps a colleague's refund, or money applied meanwhile, as it is.
        still = PaymentTransaction.objects.filter(pk=payment.pk, status=Kind.MISMATCH).update(failure_code=code)
        payment.refresh_from_db()
        return Result.MISMATCH if still else Result.UNCHANGED
    payment.refresh_from_db()
    # Money has arrived that is not what we asked for, or that has no use beside the tier held; a person decides
    # (admin: settle again, or refund).
    logger.error(
        "Error: payment mismatch: payment %s of user %s waits for a decision: %s", payment.pk, payment.user_id, code
    )
    return Result.MISMATCH


def _close(payment: PaymentTransaction, status: str, code: str) -> Result:
    """From pending alone: a late `failed` or `expired` says nothing against money that has come."""
    changed = PaymentTransaction.objects.filter(pk=payment.pk, status=Kind.PENDING).update(
        status=status, failure_code=code
    )
    payment.refresh_from_db()
    return Result.CLOSED if changed else Result.UNCHANGED


def _is_over(payment: PaymentTransaction) -> bool:
    """Whether its checkout must have closed by itself."""
    return timezone.now() > payment.closes_at + GRACE
