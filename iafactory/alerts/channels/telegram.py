"""Telegram. Its token stands in the address, so no address of its may ever be shown."""

import orjson
from django.conf import settings

from .base import ChannelFailed, Note, post

LONGEST = 4096


class Telegram:
    name = "telegram"

    def configured(self) -> bool:
        return bool(settings.TELEGRAM_BOT_TOKEN and settings.TELEGRAM_CHAT_ID)

    def send(self, note: Note) -> None:
        url = f"{settings.TELEGRAM_BASE_URL.rstrip('/')}/bot{settings.TELEGRAM_BOT_TOKEN}/sendMessage"
        # As plain text: no sign in a sentence is taken for markup.
        body = {"chat_id": settings.TELEGRAM_CHAT_ID, "text": note.text[:LONGEST], "disable_web_page_preview": True}
        answer = post(url, {"Content-Type": "application/json"}, orjson.dumps(body))
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            raise ChannelFailed("refused")
