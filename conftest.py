"""Fixtures for every test: real PostgreSQL and Redis, a clean slate of counters, and the cast.

The cast is the same everywhere: Alice owns what the test is about, Bob is another customer, Charlie must see nothing,
Sara is staff.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected

from accounts import authentication
from accounts.causes import causes
from accounts.models import ApiKey, User
from billing import entitlements
from billing.models import UserTier
from llmrouter import catalogue
from llmrouter.providers import registry
from tests.browser import browser as browser
from tests.browser import visit as visit
from tests.product import Product
from tests.standins.provider import ProviderStandIn
from tests.standins.webhook import Listener
from usage import process
from usage.redis import client


def pytest_configure() -> None:
    """Not only within a test: a process object made between two of them would tick through all that follow, and commit
    what it finds past their transactions."""
    settings.USAGE_TICK_SECONDS = 0
    # Each test client looks through thousands of files otherwise.
    settings.WHITENOISE_AUTOREFRESH = True
    settings.PASSWORD_HASHERS = ["tests.hashers.QuickHasher"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    empty_again_after_a_deadlock()
    with django_db_blocker.unblock():
        call_command("load_tiers", verbosity=0)
        call_command("load_models", verbosity=0)


def empty_again_after_a_deadlock() -> None:
    """A running product reads the tables that a test empties; when the two deadlock, PostgreSQL may end ours."""
    empty = connection.ops.execute_sql_flush

    def empty_until_done(statements: Iterable[str]) -> None:
        for attempt in range(5):
            try:
                return empty(statements)
            except OperationalError as error:
                if not isinstance(error.__cause__, DeadlockDetected) or attempt == 4:
                    raise
        return None

    connection.ops.execute_sql_flush = empty_until_done  # type: ignore[assignment, method-assign]


@pytest.fixture(autouse=True)
def clean_slate(settings: Any) -> Iterator[None]:
    """Each test begins with empty counters and as a process that knows nothing. It ticks when it says so."""
    settings.USAGE_TICK_SECONDS = 0
    client().flushdb()
    cache.clear()
    forget_everything()
    yield
    forget_everything()


def forget_everything() -> None:
    causes.forget()
    process.this_process.forget()
    authentication.forget_callers()
    entitlements.forget_standings()
    catalogue.forget_catalogue()
    registry.forget_connections()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Somebody's server, which keeps what it is sent."""
    server = Listener()
    yield server
    server.close()


@pytest.fixture
def redis() -> Any:
    return client()


@pytest.fixture
def travel(settings: Any) -> Iterator[Callable[[float], None]]:
    """Move the clock by seconds, for Python and for the money's scripts alike."""
    with time_machine.travel(0, tick=True) as traveller:
        real = time_machine.escape_hatch.time.time
        traveller.move_to(real())

        def move(seconds: float) -> None:
            settings.CLOCK_SHIFT_SECONDS += seconds
            traveller.move_to(real() + settings.CLOCK_SHIFT_SECONDS)

        yield move


def person(email: str, tier: str | None = None, **fields: Any) -> User:
    user = User.objects.create_user(email, "correct horse battery", **fields)
    if tier is not None:
        UserTier.objects.create(user=user, tier_id=tier)
    return user


@pytest.fixture
def alice(db: None) -> User:
    """On `pro`: OpenRouter serves her."""
    return person("alice@example.dz", "pro")


@pytest.fixture
def bob(db: None) -> User:
    """On `student`: shared between Groq and OpenRouter."""
    return person("bob@example.dz", "student")


@pytest.fixture
def charlie(db: None) -> User:
    """On `free`."""
    return person("charlie@example.dz")


@pytest.fixture
def sara(db: None) -> User:
    return person("sara@example.dz", is_staff=True, is_superuser=True)


def key_of(user: User) -> str:
    return ApiKey.objects.issue(user_id=user.pk, name="test")[1]


@pytest.fixture(scope="session")
def standin_server() -> Iterator[ProviderStandIn]:
    standin = ProviderStandIn()
    yield standin
    standin.close()


@pytest.fixture(scope="module")
def running_product(django_db_setup: None, standin_server: ProviderStandIn) -> Iterator[Product]:
    environment = {
        "POSTGRES_URL": address_of_the_test_database(),
        # Each test waits for every process to hear of the counters that it emptied.
        "USAGE_TICK_SECONDS": "0.1",
        **provider_settings(standin_server),
    }
    product = Product(environment)
    yield product
    product.stop()


@pytest.fixture
def product(running_product: Product, transactional_db: None, standin_server: ProviderStandIn) -> Iterator[Product]:
    """The product over HTTP. It sees an empty database, and counters that were flushed under it."""
    standin_server.reset()
    call_command("load_tiers", verbosity=0)
    call_command("load_models", verbosity=0)
    running_product.wait_until_open()
    yield running_product
    # The tables are emptied next: not under the drainer's hands.
    running_product.wait_until_drained()


def address_of_the_test_database() -> str:
    parts = urlsplit(settings.POSTGRES_URL)
    return parts._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


def provider_settings(standin: ProviderStandIn) -> dict[str, str]:
    return {
        "GROQ_API_KEY": "gsk_test",
        "GROQ_BASE_URL": standin.url("groq"),
        "OPENROUTER_API_KEY": "sk-or-v1-test",
        "OPENROUTER_BASE_URL": standin.url("openrouter"),
    }


@pytest.fixture
def standin(standin_server: ProviderStandIn, settings: Any) -> ProviderStandIn:
    """Groq and OpenRouter, played by the stand-in."""
    standin_server.reset()
    settings.ENVIRONMENT = provider_settings(standin_server)
    registry.forget_connections()
    return standin_server
