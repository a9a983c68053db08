"""Chargily's events: verified, stored without the merchant's own data, and then only a reason to go and look.

Nothing of an event is believed but which checkout it is about. An event that failed is kept with its traceback, and
answered 500, so that it comes again; should it not, the task settles the payment.
"""

import hashlib
import hmac
import logging
import traceback
from math import isfinite
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from . import settlement
from .errors import BadSignature, EventNotApplied, PaymentsNotConfigured, UnreadableEvent
from .gateways.chargily import read_flag
from .models import PaymentTransaction, WebhookEvent
from .settlement import Result

logger = logging.getLogger(__name__)

# A real event has some two kilobytes.
MOST_BYTES = 64 * 1024
# What is kept of an event. `account` (the merchant's legal data) and whatever may come one day are not.
EVENT_FIELDS = ("id", "entity", "livemode", "type", "created_at", "updated_at")
CHECKOUT_FIELDS = (
    "id", "entity", "livemode", "amount", "currency", "fees", "fees_on_merchant", "fees_on_customer", "status",
    "locale", "invoice_id", "customer_id", "payment_link_id", "payment_method", "created_at", "updated_at",
)  # fmt: skip
LONGEST_TEXT = 200
LONGEST_ID = 128

Outcome = WebhookEvent.Outcome
OUTCOMES = {
    Result.APPLIED: Outcome.APPLIED,
    Result.CLOSED: Outcome.APPLIED,
    Result.MISMATCH: Outcome.MISMATCH,
    Result.WAITING: Outcome.WAITING,
    Result.UNCHANGED: Outcome.UNCHANGED,
}


def receive(*, body: bytes, signature: str | None) -> WebhookEvent:
    """Raises `BadSignature`, `UnreadableEvent`, `PaymentsNotConfigured`, `EventNotApplied`."""
    verify(body, signature)
    event = _store(_parse(body), named=f"sha256:{hashlib.sha256(body).hexdigest()}")
    # Processed already: a duplicate. One that failed, or came too early, is looked at again.
    if event.processed_at is None:
        _process(event)
    return event


def verify(body: bytes, signature: str | None) -> None:
    """Whether Chargily signed these very bytes. An empty key would let anybody in: it is refused here as well."""
    key = settings.CHARGILY_WEBHOOK_SECRET or settings.CHARGILY_SECRET_KEY
    if not key:
        raise PaymentsNotConfigured
    expected = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    # As bytes: compare_digest refuses text beyond ASCII, and a stranger may send some.
    given = (signature or "").strip().lower().encode(errors="replace")
    if not hmac.compare_digest(expected.encode(), given):
        raise BadSignature


def _parse(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableEvent from error
    return event if isinstance(event, dict) else {}


def _store(event: dict[str, Any], *, named: str) -> WebhookEvent:
    """One row per event, however often it comes, and however many of it at once: its id is unique.

    `named` is its name if it brings none of its own that could be one."""
    content = _known(event, EVENT_FIELDS)
    data = event.get("data")
    checkout = _known(data, CHECKOUT_FIELDS) if isinstance(data, dict) else {}
    event_id = _text(content.get("id"))
    row, new = WebhookEvent.objects.get_or_create(
        event_id=event_id if 0 < len(event_id) <= LONGEST_ID else named,
        defaults={
            "type": _text(content.get("type"))[:64],
            "checkout_id": _text(checkout.get("id"))[:64],
            "livemode": read_flag(content.get("livemode")),
            "payload": {**content, "data": checkout},
        },
    )
    if not new:
        WebhookEvent.objects.filter(pk=row.pk).update(deliveries=F("deliveries") + 1)
    return row


def _process(event: WebhookEvent) -> None:
    try:
        payment, outcome = _outcome_of(event)
    except Exception as error:
        # Not processed: it is looked at again when it comes again. The traceback stays for staff.
        WebhookEvent.objects.filter(pk=event.pk, processed_at=None).update(
            outcome=Outcome.FAILED, traceback=traceback.format_exc()
        )
        logger.exception("Error: payment event %s could not be applied", event.event_id)
        raise EventNotApplied from error
    with transaction.atomic():
        # Of two that processed the same event at once, the first says what came of it.
        WebhookEvent.objects.filter(pk=event.pk, processed_at=None).update(
            outcome=outcome,
            payment=payment,
            traceback="",
            processed_at=None if outcome == Outcome.WAITING else timezone.now(),
        )
        if outcome == Outcome.WAITING and payment is not None:
            # Chargily told us before it knew itself: the task asks soon, whatever its back-off.
            PaymentTransaction.objects.filter(pk=payment.pk, status__in=PaymentTransaction.OPEN_TO_MONEY).update(
                next_check_at=timezone.now(), checks=0
            )
    event.refresh_from_db()


def _outcome_of(event: WebhookEvent) -> tuple[PaymentTransaction | None, str]:
    if event.payload.get("entity") != "event" or not event.type.startswith("checkout."):
        return None, Outcome.IGNORED
    payment = PaymentTransaction.objects.filter(checkout_id=event.checkout_id).first() if event.checkout_id else None
    if payment is None:
        logger.warning("A payment event is about a checkout that is not ours: %s", event.event_id)
        return None, Outcome.FOREIGN
    if payment.status not in PaymentTransaction.OPEN_TO_MONEY:
        same = payment.status == PaymentTransaction.Status.MISMATCH
        return payment, Outcome.MISMATCH if same else Outcome.UNCHANGED
    return payment, OUTCOMES[settlement.settle(payment)]


def _known(found: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields that we know, where they are plain: no depth, no length."""
    return {name: _plain(found[name]) for name in fields if _is_plain(found.get(name))}


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and isfinite(value))


def _plain(value: Any) -> Any:
    return _text(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    """Short, and without what PostgreSQL cannot store."""
    return value.replace("\x00", "")[:LONGEST_TEXT].strip() if isinstance(value, str) else ""
