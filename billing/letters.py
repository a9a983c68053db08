"""Receipts, reminders, and mails about payments that a person looks at: who is owed one, and sending them.

What is owed becomes a row first, unique, then it is sent. A send that fails is tried again, later and later. At least
once, then; twice only if a process dies between the mail server's "accepted" and our note of it.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.errors import MessageError
from smtplib import SMTPException
from typing import Literal

from django.core.mail import EmailMultiAlternatives
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from .links import absolute, renewal_link
from .models import FREE, Invoice, Letter, PaymentTransaction, UserTier
from .paper import day
from .wording import dinars, tier_title

logger = logging.getLogger(__name__)

Kind = Letter.Kind
# From the nearest end to the farthest: only the one whose time it is is written, not those that were missed.
REMINDERS = ((1, Kind.REMINDER_1), (3, Kind.REMINDER_3), (7, Kind.REMINDER_7))
# An invoice older than this without a receipt is from before there were receipts.
RECEIPTS_FOR = timedelta(days=3)
# A mismatch that is older was settled by other means long ago.
MISMATCHES_FOR = timedelta(days=30)
# Longer than a mail server is waited for; doubled with each try, up to the longest.
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=5), timedelta(hours=6)
MOST_TRIES = 20
# In a row, of one run.
MOST_FAILURES = 3
BATCH = 200
# Why one was dropped.
NOT_WANTED, GIVEN_UP = "no longer wanted", "given up"


@dataclass(frozen=True, slots=True)
class Owed:
    user_id: int
    email: str
    kind: str
    tier: str
    ends_at: datetime


def reminders_owed(now: datetime) -> list[Owed]:
    """Those whose paid time ends within 7 days, who want to be told, and have not been told of this end so late."""
    horizon = now + timedelta(days=REMINDERS[-1][0])
    ending = UserTier.objects.filter(
        Q(tier__sold_online=True),
        ~Q(tier_id=FREE),
        auto_renew=True,
        expires_at__gt=now,
        expires_at__lte=horizon,
        user__is_active=True,
    ).select_related("user")
    return [owed for held in ending.order_by("expires_at", "id") if (owed := _owed(held, now))]


def _owed(held: UserTier, now: datetime) -> Owed | None:
    assert held.expires_at is not None
    kind = next(kind for days, kind in REMINDERS if held.expires_at - now <= timedelta(days=days))
    if Letter.objects.filter(user_id=held.user_id, kind=kind, ends_at=held.expires_at).exists():
        return None
    return Owed(held.user_id, held.user.email, kind, held.tier_id, held.expires_at)


def note_reminders(now: datetime) -> None:
    rows = [Letter(user_id=owed.user_id, kind=owed.kind, ends_at=owed.ends_at) for owed in reminders_owed(now)]
    # Another beat may be noting the same ones: the constraint keeps one of each.
    Letter.objects.bulk_create(rows, ignore_conflicts=True)


def note_receipts(now: datetime) -> None:
    """Asked of the invoices themselves, so that no payment needs to remember to say it."""
    unwritten = Invoice.objects.filter(issued_at__gt=now - RECEIPTS_FOR, letters=None).select_related("payment")
    rows = [Letter(user_id=invoice.payment.user_id, kind=Kind.RECEIPT, invoice=invoice) for invoice in unwritten]
    Letter.objects.bulk_create(rows, ignore_conflicts=True)


def note_mismatches(now: datetime) -> None:
    """The page promises this mail. Asked of the payments themselves, as for receipts: no path can forget it."""
    looked_at = PaymentTransaction.objects.filter(
        status=PaymentTransaction.Status.MISMATCH, created_at__gt=now - MISMATCHES_FOR
    ).exclude(letters__kind=Kind.MISMATCH)
    _note_about(looked_at, Kind.MISMATCH)


def note_returned(now: datetime) -> None:
    """The outcome of a mismatch whose money went back: it never had an invoice, so there is no credit note to send.
    The outcome of one that staff accepted is its receipt."""
    returned = PaymentTransaction.objects.filter(
        status=PaymentTransaction.Status.REFUNDED, invoices=None, refunded_at__gt=now - RECEIPTS_FOR
    ).exclude(letters__kind=Kind.RETURNED)
    _note_about(returned, Kind.RETURNED)


def _note_about(payments: QuerySet[PaymentTransaction], kind: str) -> None:
    rows = [Letter(user_id=payment.user_id, kind=kind, payment=payment) for payment in payments]
    Letter.objects.bulk_create(rows, ignore_conflicts=True)


def send_due() -> int:
    """Send what is owed now; how many went out."""
    sent = failures = 0
    for letter in claimed():
        outcome = send(letter)
        sent += outcome == "sent"
        failures = failures + 1 if outcome == "failed" else 0
        if failures == MOST_FAILURES:
            # The mail server is away: the others stay due, and no worker waits for each of them in turn.
            break
    return sent


def claimed() -> Iterator[Letter]:
    for letter in Letter.objects.due(timezone.now()).select_related("user", "invoice", "payment")[:BATCH]:
        wait = min(FIRST_RETRY * 2 ** min(letter.tries, MOST_TRIES), LONGEST_RETRY)
        # Two workers at once: whoever moves the next try from what both have read may send it.
        won = Letter.objects.filter(pk=letter.pk, next_try_at=letter.next_try_at, sent_at=None, dropped_at=None).update(
            next_try_at=timezone.now() + wait, tries=letter.tries + 1
        )
        if won:
            letter.tries += 1
            yield letter


def send(letter: Letter) -> Literal["sent", "dropped", "failed"]:
    """Its row says what became of it."""
    if not still_wanted(letter):
        drop(letter, NOT_WANTED)
        return "dropped"
    try:
        message_of(letter).send()
    except (SMTPException, OSError, MessageError) as error:
        # The server's words may hold the address; its kind says enough.
        logger.error("Error: mail %s of user %s: %s", letter.kind, letter.user_id, type(error).__name__)
        failed(letter, error)
        return "failed"
    except Exception as error:
        # Whatever is the matter with one letter, the others are written.
        logger.error("Error: mail %s of user %s", letter.kind, letter.user_id, exc_info=error)
        failed(letter, error)
        return "failed"
    Letter.objects.filter(pk=letter.pk).update(sent_at=timezone.now(), trouble="")
    return "sent"


def failed(letter: Letter, error: Exception) -> None:
    Letter.objects.filter(pk=letter.pk).update(trouble=type(error).__name__[:64])
    if letter.tries >= MOST_TRIES:
        drop(letter, GIVEN_UP)


def still_wanted(letter: Letter) -> bool:
    """A receipt and an outcome always; that a payment is looked at, while it is; a reminder while that end stands, is
    ahead, and was not cancelled."""
    if letter.kind in (Kind.RECEIPT, Kind.RETURNED):
        return True
    if letter.payment is not None:
        return bool(letter.payment.status == PaymentTransaction.Status.MISMATCH)
    held = UserTier.objects.filter(user_id=letter.user_id, expires_at=letter.ends_at, auto_renew=True)
    return letter.ends_at is not None and letter.ends_at > timezone.now() and held.exists()


def drop(letter: Letter, why: str) -> None:
    Letter.objects.filter(pk=letter.pk).update(dropped_at=timezone.now(), trouble=why)


def try_again(letters: QuerySet[Letter]) -> list[Letter]:
    """Those of them that were given up are due again, as if never tried. Locked: of two who ask at once one finds
    them."""
    found = list(letters.filter(sent_at=None, trouble=GIVEN_UP).select_for_update(of=("self",)))
    Letter.objects.filter(pk__in=[letter.pk for letter in found]).update(
        dropped_at=None, next_try_at=timezone.now(), tries=0, trouble=""
    )
    return found


def message_of(letter: Letter) -> EmailMultiAlternatives:
    """In the user's language, as text and as HTML."""
    with translation.override(letter.user.language):
        subject, name, context = _content(letter)
        context |= {"subject": subject, "account": absolute("/account"), "language": letter.user.language}
        text = render_to_string(f"billing/mail/{name}.txt", context)
        html = render_to_string(f"billing/mail/{name}.html", context)
    message = EmailMultiAlternatives(
        subject, text, to=[letter.user.email], headers={"Auto-Submitted": "auto-generated"}
    )
    message.attach_alternative(html, "text/html")
    return message


def _content(letter: Letter) -> tuple[str, str, dict[str, object]]:
    if letter.payment is not None:
        return _about_a_case(letter, letter.payment)
    return _receipt(letter) if letter.invoice else _reminder(letter)


def _about_a_case(letter: Letter, payment: PaymentTransaction) -> tuple[str, str, dict[str, object]]:
    """What the page called "we are looking at your payment", and what came of it where the money went back."""
    returned = letter.kind == Kind.RETURNED
    subject = _("Your payment was given back") if returned else _("We are looking at your payment")
    context: dict[str, object] = {
        "amount": dinars(payment.amount_dzd),
        "title": tier_title(payment.tier_id),
        "day": day(payment.created_at),
        "reason": payment.refund_reason,
        "undecided": payment.is_undecided,
        "link": absolute("/account"),
    }
    return subject, "returned" if returned else "mismatch", context


def _was_looked_at(payment: PaymentTransaction) -> bool:
    return Letter.objects.filter(payment=payment, kind=Kind.MISMATCH, sent_at__isnull=False).exists()


def _receipt(letter: Letter) -> tuple[str, str, dict[str, object]]:
    invoice = letter.invoice
    assert invoice is not None
    credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    subject = _("Your credit note %(number)s") if credit else _("Payment received: invoice %(number)s")
    context: dict[str, object] = {
        "invoice": invoice,
        "credit": credit,
        "looked_at": not credit and _was_looked_at(invoice.payment),
        "title": tier_title(invoice.tier),
        "until": day(invoice.ends_at),
        "link": absolute(f"/account/invoices/{invoice.reference}"),
    }
    return subject % {"number": invoice.reference}, "receipt", context


def _reminder(letter: Letter) -> tuple[str, str, dict[str, object]]:
    held = UserTier.objects.get(user_id=letter.user_id)
    title = tier_title(held.tier_id)
    assert letter.ends_at is not None
    subject = _("%(title)s ends on %(day)s") % {"title": title, "day": day(letter.ends_at)}
    link = renewal_link(user_id=letter.user_id, tier=held.tier_id)
    return subject, "reminder", {"title": title, "ends_at": letter.ends_at, "link": link}
