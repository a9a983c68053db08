import pytest

from accounts.models import User

from .talking import Talker


@pytest.fixture
def pro(alice: User) -> Talker:
    return Talker(alice)


@pytest.fixture
def free(charlie: User) -> Talker:
    return Talker(charlie)
