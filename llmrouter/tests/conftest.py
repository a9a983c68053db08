from dataclasses import replace

import pytest

from accounts.models import User
from llmrouter.providers import registry
from llmrouter.providers.registry import PROVIDERS, Patience
from tests.standins.provider import ProviderStandIn

from .talking import Talker


@pytest.fixture
def pro(alice: User) -> Talker:
    return Talker(alice)


@pytest.fixture
def free(charlie: User) -> Talker:
    return Talker(charlie)


@pytest.fixture
def impatient(standin: ProviderStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenRouter is not waited for."""
    hurried = replace(PROVIDERS["openrouter"], patience=Patience(whole=1, first_byte=0.5, idle=0.5))
    monkeypatch.setitem(PROVIDERS, "openrouter", hurried)
    registry.forget_connections()
