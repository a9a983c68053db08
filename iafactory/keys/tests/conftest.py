from collections.abc import Iterator
from typing import Any

import pytest

from tests.standins.webhook import Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_keys(settings: Any) -> None:
    settings.ENVIRONMENT = {}
    settings.CHARGILY_SECRET_KEY = ""
