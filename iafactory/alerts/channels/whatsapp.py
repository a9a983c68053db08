"""WhatsApp, by Meta's Cloud API.

Text reaches only who wrote to the number in the last 24 hours. An operator who does not needs a template that Meta has
approved, with one variable in its body: its name is WHATSAPP_TEMPLATE.
"""

import re
from typing import Any

import orjson
from django.conf import settings

from .base import ChannelFailed, Note, post

LONGEST = 1000


class WhatsApp:
    name = "whatsapp"

    def configured(self) -> bool:
        return bool(settings.WHATSAPP_TOKEN and settings.WHATSAPP_PHONE_NUMBER_ID and settings.WHATSAPP_TO)

    def send(self, note: Note) -> None:
        """To every number; those that got it get it again where one of them failed."""
        failures = [code for number in settings.WHATSAPP_TO if (code := send_to(number, note))]
        if failures:
            raise ChannelFailed(failures[0])


def send_to(number: str, note: Note) -> str:
    """The failure's code, or nothing."""
    url = f"{settings.WHATSAPP_BASE_URL.rstrip('/')}/{settings.WHATSAPP_PHONE_NUMBER_ID}/messages"
    headers = {"Authorization": f"Bearer {settings.WHATSAPP_TOKEN}", "Content-Type": "application/json"}
    body = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": number.lstrip("+"), **content(note)}
    try:
        answer = post(url, headers, orjson.dumps(body))
    except ChannelFailed as error:
        return error.code
    accepted = isinstance(answer, dict) and bool(answer.get("messages"))
    return "" if accepted else "refused"


def content(note: Note) -> dict[str, Any]:
    if not settings.WHATSAPP_TEMPLATE:
        return {"type": "text", "text": {"preview_url": False, "body": note.text[:LONGEST]}}
    # A variable may hold neither line breaks nor runs of blanks.
    line = re.sub(r"\s+", " ", note.text)[:LONGEST]
    return {
        "type": "template",
        "template": {
            "name": settings.WHATSAPP_TEMPLATE,
            "language": {"code": settings.ALERT_LANGUAGE},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": line}]}],
        },
    }
