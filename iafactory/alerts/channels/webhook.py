"""A generic webhook: JSON, signed as Standard Webhooks prescribes (docs/alerts.md shows how to verify it)."""

import base64
import binascii
import hashlib
import hmac
import time

import orjson
from django.conf import settings

from .base import Note, post, refuse_inner_addresses


class Webhook:
    name = "webhook"

    def configured(self) -> bool:
        return bool(settings.ALERT_WEBHOOK_URL)

    def send(self, note: Note) -> None:
        private_too = settings.PRODUCTION and not settings.ALERT_WEBHOOK_PRIVATE
        refuse_inner_addresses(settings.ALERT_WEBHOOK_URL, private_too=private_too)
        body, at = payload(note), int(time.time())
        post(
            settings.ALERT_WEBHOOK_URL,
            {
                "Content-Type": "application/json",
                "User-Agent": "IAFactory/2",
                "webhook-id": note.id,
                "webhook-timestamp": str(at),
                "webhook-signature": signature(settings.ALERT_WEBHOOK_SECRET, note.id, at, body),
            },
            body,
        )


def payload(note: Note) -> bytes:
    return orjson.dumps(
        {
            "type": "alert.recovered" if note.level == "recovered" else "alert.raised",
            "timestamp": note.at.isoformat(),
            "data": {
                "rule": note.rule,
                "subject": note.subject,
                "level": note.level,
                "message": note.message,
                "action": note.action,
            },
        }
    )


def signature(secret: str, message_id: str, at: int, body: bytes) -> str:
    signed = hmac.new(key_of(secret), f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def key_of(secret: str) -> bytes:
    """`whsec_` and base64, as the libraries of Standard Webhooks want it; any other text is the key itself."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
