from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation

from tests.standins.webhook import Listener


@pytest.fixture(autouse=True)
def alone(settings: Any, tmp_path: Any) -> None:
    """Files of their own, and no channel but the log unless a test wants one."""
    settings.VAR_DIR = tmp_path
    settings.ALERT_EMAIL_TO = settings.WHATSAPP_TO = ()
    settings.ALERT_WEBHOOK_URL = settings.TELEGRAM_BOT_TOKEN = settings.WHATSAPP_TOKEN = ""


@pytest.fixture
def webhook(listener: Listener, settings: Any) -> Listener:
    settings.ALERT_WEBHOOK_URL = f"{listener.url}/alerts"
    settings.ALERT_WEBHOOK_SECRET = "a secret of the tests"
    return listener


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    with translation.override("en"):
        yield
