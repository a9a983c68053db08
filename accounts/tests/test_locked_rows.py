"""A lock, a timeout or a deadlock in one statement is no outage of PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, connections
from psycopg_pool import PoolTimeout

from accounts import fresh, postgres
from accounts.authentication import authenticate
from accounts.deadline import TooLate
from accounts.errors import AccountsAway
from accounts.fresh import Fresh, StoreAway
from accounts.models import ApiKey, User
from accounts.tokens import issue_tokens
from conftest import key_of, person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test finds out about PostgreSQL does not reach the next."""
    monkeypatch.setattr(fresh, "_store", fresh._Store())


@pytest.fixture
def alice() -> User:
    # Without a tier: these tests begin with empty tables.
    return person("alice@example.dz")


@pytest.fixture
def bob() -> User:
    return person("bob@example.dz")


@contextmanager
def locked(statement: str, *parameters: int) -> Iterator[None]:
    """Another session holds what the statement locks."""
    ready, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute(statement, parameters)
                ready.set()
                done.wait(30)
                cursor.execute("ROLLBACK")
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        done.set()
        holder.join()


@pytest.fixture
def impatient() -> Iterator[None]:
    """Waiting for a lock ends soon, so that a test without the fix fails instead of hanging."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '300ms'")
    yield
    connection.close()


@pytest.mark.usefixtures("impatient")
def test_locked_api_key_row_does_not_keep_its_owner_or_others_out(alice: User, bob: User) -> None:
    hers, his = key_of(alice), key_of(bob)
    with locked("SELECT 1 FROM api_keys WHERE user_id = %s FOR UPDATE", alice.pk):
        assert authenticate(f"Bearer {hers}").user_id == alice.pk
        assert not fresh.is_away()
        assert authenticate(f"Bearer {his}").user_id == bob.pk
    assert ApiKey.objects.get(user=alice).last_used_at is None
    assert ApiKey.objects.get(user=bob).last_used_at is not None


@pytest.mark.usefixtures("impatient")
def test_use_that_could_not_be_noted_is_noted_a_minute_later(alice: User, travel: Callable[[float], None]) -> None:
    key = key_of(alice)
    with locked("SELECT 1 FROM api_keys FOR UPDATE"):
        authenticate(f"Bearer {key}")
    authenticate(f"Bearer {key}")
    assert ApiKey.objects.get().last_used_at is None
    travel(61)
    authenticate(f"Bearer {key}")
    assert ApiKey.objects.get().last_used_at is not None


@pytest.mark.usefixtures("impatient")
def test_locked_table_concerns_those_alone_who_need_it(alice: User, bob: User) -> None:
    token = issue_tokens(bob).access
    with locked("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"):
        with pytest.raises(AccountsAway):
            authenticate("Bearer iaf_" + "x" * 40)
        assert authenticate(f"Bearer {token}").user_id == bob.pk


def fails_with(sqlstate: str) -> Callable[[], None]:
    def fail() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}'; END $$")

    return fail


def runs_out_of_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 20; SELECT pg_sleep(5)")


def fails_to_get_a_connection() -> None:
    raise OperationalError from PoolTimeout()


def is_interrupted() -> None:
    raise TooLate


FAILURES = pytest.mark.parametrize(
    "fail",
    [
        pytest.param(fails_with("55P03"), id="lock timeout"),
        pytest.param(fails_with("40P01"), id="deadlock"),
        pytest.param(fails_with("40001"), id="serialization failure"),
        pytest.param(fails_with("53100"), id="disk full"),
        pytest.param(runs_out_of_time, id="statement timeout"),
        pytest.param(fails_to_get_a_connection, id="busy pool"),
        pytest.param(is_interrupted, id="answer too late"),
    ],
)


class Asked:
    """A loader that counts, and fails for `locked`."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self.fail: Callable[[], None] | None = fail
        self.keys: list[str] = []

    def __call__(self, key: str) -> str:
        self.keys.append(key)
        if key == "locked" and self.fail is not None:
            self.fail()
        return key


@FAILURES
def test_failed_statement_concerns_its_key_alone(fail: Callable[[], None]) -> None:
    asked = Asked(fail)
    memory = Fresh(asked)
    with pytest.raises(StoreAway):
        memory.get("locked")
    assert memory.get("other") == "other"
    assert not fresh.is_away()


@FAILURES
def test_what_is_remembered_is_served_when_its_statement_fails(
    fail: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(fail)
    asked.fail = None
    memory = Fresh(asked)
    memory.get("locked")
    monkeypatch.setattr(fresh, "FRESH_SECONDS", 0)
    asked.fail = fail
    assert [memory.get("locked") for _ in range(5)] == ["locked"] * 5
    # Loaded, then failed once: the next try comes a second later, not with each call.
    assert asked.keys == ["locked", "locked"]


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(fails_with("57P01"), id="shutdown"),
        pytest.param(fails_with("57P03"), id="still starting"),
        pytest.param(fails_with("08006"), id="connection lost"),
    ],
)
def test_server_that_cannot_serve_is_away(fail: Callable[[], None]) -> None:
    memory = Fresh(Asked(fail))
    for key in ("locked", "other"):
        with pytest.raises(StoreAway):
            memory.get(key)
    assert fresh.is_away()


@pytest.mark.parametrize("error", [OperationalError("refused"), InterfaceError("closed"), TooLate()])
def test_failure_without_an_answer_of_the_server_is_an_outage(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens there.
    for name, value in {"HOST": "127.0.0.1", "PORT": "1"}.items():
        monkeypatch.setitem(connections[DEFAULT_DB_ALIAS].settings_dict, name, value)
    assert postgres.is_away(error)


def test_crowd_on_a_failing_key_asks_once() -> None:
    gate = threading.Event()

    def fail() -> None:
        gate.wait(10)
        fails_with("55P03")()

    asked = Asked(fail)
    memory = Fresh(asked)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            memory.get("locked")
        except StoreAway as error:
            raised.append(error)
        finally:
            connection.close()

    crowd = [threading.Thread(target=ask) for _ in range(8)]
    for thread in crowd:
        thread.start()
    gate.set()
    for thread in crowd:
        thread.join()
    assert len(raised) == 8
    assert asked.keys == ["locked"]
