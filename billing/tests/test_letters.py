"""Receipts and reminders: owed once, sent once, in the user's language, and not lost when the mail server fails."""

import io
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from django.contrib.auth.models import Permission
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import StaffAction, User
from billing import letters, refunds, subscriptions, tasks
from billing.models import Invoice, Letter, PaymentTransaction, UserTier
from conftest import person
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db

DAY = 86400


@pytest.fixture
def ending(bob: User) -> Callable[[float], None]:
    """Bob's `student` ends in so many days."""

    def end(days: float) -> None:
        UserTier.objects.filter(user=bob).update(expires_at=timezone.now() + timedelta(days=days))

    return end


class BrokenBackend(EmailBackend):
    """A mail server that hangs up."""

    def send_messages(self, messages: Any) -> int:
        raise SMTPServerDisconnected("bob@example.dz: no thanks")


class WritingBackend(EmailBackend):
    """Writes them out, as one that sends them does."""

    def send_messages(self, messages: Any) -> int:
        for message in messages:
            message.message().as_bytes()
        return int(super().send_messages(messages))


BROKEN, WRITING = f"{__name__}.BrokenBackend", f"{__name__}.WritingBackend"


@pytest.mark.parametrize(
    ("days", "kind"),
    [(7.5, None), (6.9, "reminder_7"), (3.1, "reminder_7"), (2.9, "reminder_3"), (0.9, "reminder_1"), (-0.1, None)],
)
def test_the_reminder_whose_time_it_is(days: float, kind: str | None, ending: Any) -> None:
    ending(days)
    tasks.send_letters()
    assert [letter.kind for letter in Letter.objects.all()] == ([kind] if kind else [])
    assert len(mail.outbox) == (1 if kind else 0)


def test_over_the_last_week_there_are_three_and_no_more(ending: Any, travel: Any) -> None:
    ending(8)
    for _hour in range(0, 9 * 24, 6):
        tasks.send_letters()
        travel(6 * 3600)
    assert [letter.kind for letter in Letter.objects.order_by("id")] == ["reminder_7", "reminder_3", "reminder_1"]
    assert len(mail.outbox) == 3


def test_after_a_renewal_the_next_end_is_reminded_of(ending: Any, travel: Any) -> None:
    ending(2)
    tasks.send_letters()
    ending(32)
    tasks.send_letters()
    assert len(mail.outbox) == 1
    travel(30 * DAY)
    tasks.send_letters()
    assert len(mail.outbox) == 2


def test_none_after_cancel_without_an_end_or_for_the_closed(bob: User, alice: User, ending: Any) -> None:
    ending(2)
    subscriptions.cancel(user_id=bob.pk)
    tasks.send_letters()
    UserTier.objects.update(auto_renew=True)
    User.objects.update(is_active=False)
    tasks.send_letters()
    assert mail.outbox == []


def test_a_cancel_between_the_note_and_the_mail_wins(bob: User, ending: Any) -> None:
    ending(2)
    letters.note_reminders(timezone.now())
    subscriptions.cancel(user_id=bob.pk)
    assert letters.send_due() == 0
    assert mail.outbox == []
    assert Letter.objects.get().dropped_at is not None


def test_of_eight_beats_at_once_one_writes(committed: None, ending: Any) -> None:
    ending(2)
    _answers, raised = at_once(8, tasks.send_letters)
    assert raised == []
    assert len(mail.outbox) == 1
    assert Letter.objects.get().tries == 1


def test_a_mail_server_that_fails_loses_nothing(ending: Any, travel: Any, settings: Any, caplog: Any) -> None:
    ending(6)
    settings.EMAIL_BACKEND = BROKEN
    tasks.send_letters()
    letter = Letter.objects.get()
    assert (letter.sent_at, letter.trouble, letter.tries) == (None, "SMTPServerDisconnected", 1)
    assert "Error: mail reminder_7" in caplog.text
    assert "bob@example.dz" not in caplog.text
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    tasks.send_letters()
    assert mail.outbox == [], "not at once again"
    travel(6 * 60)
    tasks.send_letters()
    tasks.send_letters()
    assert len(mail.outbox) == 1


def test_a_mail_server_that_is_away_is_not_waited_for_by_every_letter(settings: Any) -> None:
    for n in range(6):
        user = person(f"{n}@example.dz", "student")
        UserTier.objects.filter(user=user).update(expires_at=timezone.now() + timedelta(days=2))
    settings.EMAIL_BACKEND = BROKEN
    tasks.send_letters()
    assert sorted(Letter.objects.values_list("tries", flat=True)) == [0, 0, 0, 1, 1, 1]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    tasks.send_letters()
    assert len(mail.outbox) == 3, "those that were not tried are sent at once"


def test_a_reminder_that_could_not_be_sent_before_the_end_is_dropped(ending: Any, travel: Any, settings: Any) -> None:
    ending(0.5)
    settings.EMAIL_BACKEND = BROKEN
    tasks.send_letters()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    travel(DAY)
    tasks.send_letters()
    assert mail.outbox == []
    assert Letter.objects.get().dropped_at is not None


def test_a_receipt_is_given_up_after_many_tries(
    charlie: User, begin: Any, webhooks: Any, travel: Any, settings: Any
) -> None:
    webhooks.pay_and_tell(begin(charlie))
    settings.EMAIL_BACKEND = BROKEN
    for _ in range(letters.MOST_TRIES + 3):
        tasks.send_letters()
        travel(7 * 3600)
    letter = Letter.objects.get(kind="receipt")
    assert (letter.tries, letter.trouble) == (letters.MOST_TRIES, "given up")


def test_one_that_nobody_can_write_keeps_no_other_from_being_sent(
    charlie: User, alice: User, begin: Any, webhooks: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address of before they were looked at; or a mistake of ours."""
    settings.EMAIL_BACKEND = WRITING
    User.objects.filter(pk=charlie.pk).update(email='"a\x1cb:c"@example.dz')
    webhooks.pay_and_tell(begin(charlie))
    tasks.send_letters()
    # Longer ago than `MOST_TRIES` allows: whoever began it did not know it could go wrong.
    Letter.objects.update(tries=60, next_try_at=timezone.now())
    webhooks.pay_and_tell(begin(alice))
    tasks.send_letters()
    assert [message.to for message in mail.outbox] == [["alice@example.dz"]]
    assert Letter.objects.get(user=charlie).trouble == "given up"

    bad = Letter.objects.get(user=alice)
    Letter.objects.filter(pk=bad.pk).update(sent_at=None, next_try_at=timezone.now())
    monkeypatch.setattr(letters, "message_of", lambda letter: {}[letter.pk])
    tasks.send_letters()
    bad.refresh_from_db()
    assert (bad.sent_at, bad.trouble) == (None, "KeyError")


def test_staff_have_written_again_what_was_given_up(
    charlie: User, alice: User, sara: User, begin: Any, webhooks: Any, settings: Any
) -> None:
    for user in (charlie, alice):
        webhooks.pay_and_tell(begin(user))
    settings.EMAIL_BACKEND = BROKEN
    tasks.send_letters()
    Letter.objects.filter(user=charlie).update(
        tries=letters.MOST_TRIES, trouble=letters.GIVEN_UP, dropped_at=timezone.now()
    )
    staff = Client(headers={"Accept-Language": "en"})
    staff.force_login(sara)
    page = staff.get("/admin/billing/letter/").content.decode()
    assert page.count("given up") > page.count("no longer wanted") == 0
    assert charlie.email in page
    assert charlie.email not in staff.get("/admin/billing/letter/", {"state": "waiting"}).content.decode()
    every = [str(pk) for pk in Letter.objects.values_list("pk", flat=True)]
    staff.post("/admin/billing/letter/", {"action": "write_again", "_selected_action": every})
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    tasks.send_letters()
    # Alice's is tried again when its own time comes.
    assert [message.to for message in mail.outbox] == [[charlie.email]]
    assert StaffAction.objects.get(action="mail.again").subject == f"letter {Letter.objects.get(user=charlie).pk}"


def test_staff_who_may_only_look_write_nothing_again(charlie: User, begin: Any, webhooks: Any, settings: Any) -> None:
    webhooks.pay_and_tell(begin(charlie))
    tasks.send_letters()
    letter = Letter.objects.get()
    Letter.objects.update(sent_at=None, trouble=letters.GIVEN_UP, dropped_at=timezone.now())
    looks = person("looks@example.dz", is_staff=True)
    looks.user_permissions.add(Permission.objects.get(codename="view_letter"))
    staff = Client()
    staff.force_login(looks)
    assert staff.get("/admin/billing/letter/").status_code == 200
    staff.post("/admin/billing/letter/", {"action": "write_again", "_selected_action": [str(letter.pk)]})
    assert Letter.objects.get().dropped_at is not None


def test_a_receipt_follows_a_payment_once(charlie: User, begin: Any, webhooks: Any) -> None:
    webhooks.pay_and_tell(begin(charlie))
    for _ in range(3):
        tasks.send_letters()
    (message,) = mail.outbox
    invoice = Invoice.objects.get()
    assert message.to == [charlie.email]
    assert invoice.reference in message.subject
    assert f"/account/invoices/{invoice.reference}" in message.body
    assert "1\u00a0590" in message.body


def test_a_credit_note_is_written_about_too(charlie: User, sara: User, begin: Any, webhooks: Any) -> None:
    payment: PaymentTransaction = begin(charlie)
    webhooks.pay_and_tell(payment)
    payment.refresh_from_db()
    refunds.refund(payment=payment, by=sara, reason="Double paiement")
    tasks.send_letters()
    assert sorted(message.subject[-13:-7] for message in mail.outbox) == ["A-2026", "F-2026"]


def test_the_link_of_a_reminder_leads_to_the_step_before_paying(bob: User, ending: Any, chargily: Any) -> None:
    ending(2)
    tasks.send_letters()
    link = re.search(r"https?://[^/\s]+(/renew/\S+)", str(mail.outbox[0].body))
    assert link is not None
    page = Client(headers={"Accept-Language": "en"}).get(link[1])
    assert page.status_code == 200
    assert "1\u00a0590" in page.content.decode()


def test_a_dry_run_writes_to_nobody(bob: User, ending: Any) -> None:
    ending(2)
    said = io.StringIO()
    call_command("send_reminders", "--dry-run", stdout=said)
    assert f"reminder_3  user {bob.pk}  student until" in said.getvalue()
    assert bob.email not in said.getvalue()
    assert (mail.outbox, Letter.objects.count()) == ([], 0)
    call_command("send_reminders", stdout=said)
    assert "1 mails sent" in said.getvalue()
    call_command("send_reminders", stdout=said)
    assert len(mail.outbox) == 1


class Postbox(Message):
    """A mail server that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: list[bytes] = []

    def prepare_message(self, session: Any, envelope: Any) -> Any:
        self.raw.append(envelope.content)
        return super().prepare_message(session, envelope)

    def handle_message(self, message: Any) -> None:
        pass


@pytest.fixture
def postbox(settings: Any) -> Iterator[Postbox]:
    box = Postbox()
    server = Controller(box, hostname="127.0.0.1", port=0)
    # With port 0 the controller would probe port 0: ask the listening socket instead.
    server.port = free_port()
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    yield box
    server.stop()


def free_port() -> int:
    from iafactory.run.__main__ import free_port as found

    return found()


@pytest.mark.parametrize(("language", "direction"), [("fr", "ltr"), ("ar", "rtl"), ("en", "ltr")])
def test_over_the_wire_in_the_users_language(
    language: str, direction: str, bob: User, ending: Any, postbox: Postbox
) -> None:
    User.objects.filter(pk=bob.pk).update(language=language)
    ending(2)
    tasks.send_letters()
    tasks.send_letters()
    (raw,) = postbox.raw
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert (message["To"], message["Auto-Submitted"]) == (bob.email, "auto-generated")
    html, plain = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert plain is not None
    assert f'<html lang="{language}" dir="{direction}">' in html.get_content()
    links = re.findall(r"https?://\S+/renew/[\w:.-]+", plain.get_content())
    assert len(links) == 1
    assert links[0] in html.get_content()
