from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation


@pytest.fixture(autouse=True)
def no_keys(settings: Any) -> None:
    settings.ENVIRONMENT = {}
    settings.CHARGILY_SECRET_KEY = ""


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    with translation.override("en"):
        yield
