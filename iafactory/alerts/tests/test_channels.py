"""Each channel against a server over real HTTP or SMTP: what arrives, and what never gets out."""

import base64
import hashlib
import hmac
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from iafactory.alerts.channels import Channel, ChannelFailed, Note
from iafactory.alerts.channels.base import inner
from iafactory.alerts.channels.email import Email
from iafactory.alerts.channels.telegram import Telegram
from iafactory.alerts.channels.webhook import Webhook
from iafactory.alerts.channels.whatsapp import WhatsApp
from iafactory.run.__main__ import free_port
from tests.standins.webhook import Answer, Listener

TOKEN = "7000000001:" + "secret-of-the-bot"
NOTE = Note(
    id="alert_7",
    rule="budget",
    subject="",
    level="critical",
    message="Budget quotidien à 92.3%! Basculement auto sur Groq imminent.",
    action="Augmenter DAILY_BUDGET_USD ou attendre minuit",
    at=datetime(2026, 11, 22, 12, tzinfo=UTC),
)


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuses:
            return "554 5.7.1 no mail for hunter2"
        self.mails.append(BytesParser(policy=default).parsebytes(envelope.content))
        return "250 OK"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    settings.ALERT_EMAIL_TO = ("sara@example.dz", "omar@example.dz")
    yield box
    server.stop(no_assert=True)


@pytest.fixture
def telegram(listener: Listener, settings: Any) -> Listener:
    settings.TELEGRAM_BOT_TOKEN, settings.TELEGRAM_CHAT_ID = TOKEN, "42"
    settings.TELEGRAM_BASE_URL = listener.url
    return listener


@pytest.fixture
def whatsapp(listener: Listener, settings: Any) -> Listener:
    settings.WHATSAPP_TOKEN, settings.WHATSAPP_PHONE_NUMBER_ID = TOKEN, "1055"
    settings.WHATSAPP_TO = ("+213555000001", "+213555000002")
    settings.WHATSAPP_BASE_URL, settings.WHATSAPP_TEMPLATE = f"{listener.url}/v23.0", ""
    return listener


def test_a_mail(mailbox: Mailbox) -> None:
    Email().send(NOTE)
    (mail,) = mailbox.mails
    assert mail["To"] == "sara@example.dz, omar@example.dz"
    assert NOTE.message in mail["Subject"]
    assert NOTE.action in mail.get_content()


def test_a_mail_server_that_refuses_is_not_quoted(mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    mailbox.refuses = True
    nothing_gets_out(Email(), "smtp_554", caplog, secret="hunter2")


def test_a_mail_server_that_is_not_there(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.ALERT_EMAIL_TO = "127.0.0.1", 1, ("sara@example.dz",)
    nothing_gets_out(Email(), "no_connection", caplog)


def test_the_webhook_and_its_signature(webhook: Listener) -> None:
    Webhook().send(NOTE)
    (arrived,) = webhook.received
    assert arrived.json == {
        "type": "alert.raised",
        "timestamp": "2026-11-22T12:00:00+00:00",
        "data": {
            "rule": "budget",
            "subject": "",
            "level": "critical",
            "message": NOTE.message,
            "action": NOTE.action,
        },
    }
    head = f"alert_7.{arrived.headers['webhook-timestamp']}.".encode()
    signed = hmac.new(b"a secret of the tests", head + arrived.body, hashlib.sha256).digest()
    assert arrived.headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
    assert arrived.headers["webhook-id"] == "alert_7"


def test_a_redirect_is_not_followed(webhook: Listener) -> None:
    webhook.answer = Answer(302, headers={"Location": f"{webhook.url}/elsewhere"})
    with pytest.raises(ChannelFailed, match="status_302"):
        Webhook().send(NOTE)
    assert [received.path for received in webhook.received] == ["/alerts"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "inner_address"),
        ("http://[::ffff:169.254.169.254]/", "inner_address"),
        ("http://0.0.0.0:8000/", "inner_address"),
        ("file:///etc/passwd", "bad_address"),
        ("http://no-such-host.invalid/", "no_such_host"),
    ],
)
def test_the_webhook_does_not_reach_inside(settings: Any, url: str, code: str) -> None:
    settings.ALERT_WEBHOOK_URL = url
    with pytest.raises(ChannelFailed, match=code):
        Webhook().send(NOTE)


def test_in_production_it_reaches_no_private_network(webhook: Listener, settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(ChannelFailed, match="inner_address"):
        Webhook().send(NOTE)
    settings.ALERT_WEBHOOK_PRIVATE = True
    Webhook().send(NOTE)
    assert len(webhook.received) == 1


@pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1"])
def test_private_addresses(address: str) -> None:
    assert inner(address, private_too=True)
    assert not inner(address, private_too=False)
    assert not inner("8.8.8.8", private_too=True)


def test_telegram(telegram: Listener) -> None:
    Telegram().send(NOTE)
    (arrived,) = telegram.received
    assert arrived.path == f"/bot{TOKEN}/sendMessage"
    assert arrived.json["chat_id"] == "42"
    assert NOTE.message in arrived.json["text"]
    assert NOTE.action in arrived.json["text"]


def test_telegram_says_no_inside_200(telegram: Listener) -> None:
    telegram.answer = Answer(200, {"ok": False, "description": "chat not found"})
    with pytest.raises(ChannelFailed, match="refused"):
        Telegram().send(NOTE)


def test_whatsapp_as_text(whatsapp: Listener) -> None:
    WhatsApp().send(NOTE)
    assert [received.json["to"] for received in whatsapp.received] == ["213555000001", "213555000002"]
    arrived = whatsapp.received[0]
    assert arrived.path == "/v23.0/1055/messages"
    assert arrived.headers["authorization"] == f"Bearer {TOKEN}"
    assert NOTE.message in arrived.json["text"]["body"]


def test_whatsapp_by_template(whatsapp: Listener, settings: Any) -> None:
    settings.WHATSAPP_TEMPLATE = "ia_factory_alert"
    WhatsApp().send(NOTE)
    template = whatsapp.received[0].json["template"]
    assert (template["name"], template["language"]["code"]) == ("ia_factory_alert", "fr")
    (variable,) = template["components"][0]["parameters"]
    assert NOTE.message in variable["text"]
    assert "\n" not in variable["text"]


@pytest.mark.parametrize("channel", [Telegram(), WhatsApp(), Webhook()])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(401, {"ok": False, "description": f"Unauthorized: {TOKEN}"}), "status_401"),
        (Answer(200, seconds=1.5), "timeout"),
        (None, "no_connection"),
    ],
)
def test_no_token_gets_out(
    channel: Channel,
    answer: Answer | None,
    code: str,
    telegram: Listener,
    whatsapp: Listener,
    webhook: Listener,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iafactory.alerts.channels.base.SECONDS", 0.3)
    settings.ALERT_WEBHOOK_URL = f"{telegram.url}/hooks/{TOKEN}"
    if answer is None:
        settings.TELEGRAM_BASE_URL = settings.WHATSAPP_BASE_URL = "http://127.0.0.1:1"
        settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:1/hooks/{TOKEN}"
    else:
        telegram.answer = answer
    nothing_gets_out(channel, code, caplog)


def nothing_gets_out(channel: Channel, code: str, caplog: pytest.LogCaptureFixture, secret: str = TOKEN) -> None:
    """Neither in the exception, nor in those behind it, nor in the log at the product's levels."""
    with caplog.at_level(logging.INFO), pytest.raises(ChannelFailed) as failure:
        channel.send(NOTE)
    assert failure.value.code == code
    assert failure.value.__context__ is None
    assert secret not in "".join(traceback.format_exception(failure.value, chain=True)) + caplog.text
