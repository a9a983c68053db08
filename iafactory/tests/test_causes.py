"""Every answer of 500 and above has its cause in the log, at every door, bounded and without a secret."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.test import Client
from psycopg import errors as psycopg_errors
from psycopg_pool import PoolTimeout
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from accounts import causes
from accounts.models import User
from accounts.postgres import is_away
from conftest import key_of
from iafactory import errors, logs
from usage.errors import RedisAway

Raise = Callable[[], None]


def from_postgres(cause: psycopg.Error) -> Exception:
    """As Django raises it: its own class, from psycopg's error."""
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


DEADLOCK = "deadlock detected\nDETAIL:  Process 12 waits for ShareLock on transaction 9; blocked by process 34."
DISK = 'could not extend file "base/16384/2619": No space left on device'
TIMEOUT = "canceling statement due to statement timeout"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    causes.causes.forget()
    with caplog.at_level(logging.ERROR):
        yield lambda: [record.getMessage() for record in caplog.records]
    causes.causes.forget()


def failing(monkeypatch: pytest.MonkeyPatch, target: str, error: Exception) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise error

    monkeypatch.setattr(target, fail)


def chat(alice: User, path: str) -> int:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}], "prompt": "Bonjour"}
    if path == "/v1/chat/completions":
        del body["prompt"]
    else:
        del body["messages"]
    headers = {"Authorization": f"Bearer {key_of(alice)}"}
    return Client().post(path, json.dumps(body), content_type="application/json", headers=headers).status_code


@pytest.mark.parametrize("path", ["/api/v2/chat", "/v1/chat/completions"])
def test_a_chat_that_fails_by_postgresql_says_why_in_the_log(
    alice: User, monkeypatch: pytest.MonkeyPatch, lines: Any, path: str
) -> None:
    module = "llmrouter.v1.views.origin_of" if path.startswith("/v1") else "llmrouter.views.origin_of"
    failing(monkeypatch, module, from_postgres(psycopg_errors.DeadlockDetected(DEADLOCK)))
    assert chat(alice, path) == 503
    [line] = lines()
    assert f"{path} answered 503 unavailable" in line
    assert "DeadlockDetected: deadlock detected" in line
    # The lines after the first may hold rows.
    assert "ShareLock" not in line


def test_the_rest_of_the_api_says_why_in_the_log(alice: User, monkeypatch: pytest.MonkeyPatch, lines: Any) -> None:
    failing(monkeypatch, "iafactory.views.entitlements_for", from_postgres(psycopg_errors.DiskFull(DISK)))
    response = Client().get("/api/auth/me", headers={"Authorization": f"Bearer {key_of(alice)}"})
    assert response.status_code == 503
    [line] = lines()
    assert "DiskFull" in line
    assert "No space left" in line


def test_a_page_says_why_in_the_log(alice: User, monkeypatch: pytest.MonkeyPatch, lines: Any) -> None:
    client = Client()
    client.force_login(alice)
    failing(
        monkeypatch,
        "iafactory.pages.account.entitlements_for",
        from_postgres(psycopg_errors.QueryCanceled(TIMEOUT)),
    )
    assert client.get("/account").status_code == 503
    assert any("QueryCanceled: canceling statement due to statement timeout" in line for line in lines())


@pytest.mark.django_db
def test_the_health_check_says_why_in_the_log_and_once(monkeypatch: pytest.MonkeyPatch, lines: Any) -> None:
    failing(monkeypatch, "iafactory.probes.line", RedisConnectionError("Error 111 connecting. Connection refused."))
    assert [Client().get("/health").status_code for _ in range(5)] == [503] * 5
    [line] = lines()
    assert "redis is away: RedisAway, from ConnectionError: Error 111 connecting" in line


def test_a_stream_that_breaks_says_why_in_the_log(rf: Any, lines: Any) -> None:
    def events() -> Iterator[bytes]:
        yield b"data: {}\n\n"
        raise from_postgres(psycopg_errors.QueryCanceled(TIMEOUT))

    told = b"".join(errors.error_events(rf.post("/v1/chat/completions"), events()))
    assert b'"error"' in told
    [line] = lines()
    assert "in the middle of a stream" in line
    assert "QueryCanceled" in line


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (InterfaceError("connection already closed"), "InterfaceError: connection already closed"),
        (RedisConnectionError("Error 111 connecting to 127.0.0.1:6379. Connection refused."), "Connection refused"),
        (ResponseError("OOM command not allowed when used memory > 'maxmemory'."), "OOM command not allowed"),
    ],
)
def test_each_of_the_servers_errors_is_named(rf: HttpRequest, lines: Any, error: Exception, named: str) -> None:
    response = errors.answer(rf.get("/api/auth/me"), error)  # type: ignore[attr-defined]
    assert response.status_code == 503
    [line] = lines()
    assert named in line


def test_what_an_error_came_from_is_named(rf: Any, lines: Any) -> None:
    try:
        try:
            raise ResponseError("READONLY You can't write against a read only replica.")
        except ResponseError as cause:
            raise RedisAway from cause
    except RedisAway as error:
        errors.answer(rf.get("/"), error)
    [line] = lines()
    assert "RedisAway, from ResponseError: READONLY" in line
    assert "test_causes.py:" in line


def test_an_outage_is_one_line_in_ten_seconds_and_another_cause_one_more(
    rf: Any, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("accounts.causes.time.monotonic", lambda: now)
    for number in range(300):
        errors.answer(rf.get("/"), OperationalError(f'connection to server at "10.0.0.{number}" failed: refused'))
    assert len(lines()) == 1
    errors.answer(rf.get("/"), from_postgres(psycopg_errors.DiskFull(DISK)))
    assert len(lines()) == 2
    now += causes.REPEAT_SECONDS
    errors.answer(rf.get("/"), OperationalError('connection to server at "10.0.0.1" failed: refused'))
    assert "299 more like it" in lines()[2]


def test_endless_causes_are_bounded(rf: Any, lines: Any) -> None:
    for number in range(5 * causes.MOST_CAUSES):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        errors.answer(rf.get("/"), OperationalError(f"cause {word}"))
    assert len(lines()) == causes.MOST_CAUSES + 1


def test_our_own_mistake_is_logged_each_time_with_its_traceback(
    rf: Any, caplog: pytest.LogCaptureFixture, lines: Any
) -> None:
    """The caller is told that it is logged under the id of the request."""
    for _ in range(3):
        assert errors.answer(rf.get("/"), ZeroDivisionError("division by zero")).status_code == 500
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


def test_an_answer_below_500_is_not_logged(rf: Any, lines: Any) -> None:
    from accounts.errors import BadCredentials

    assert errors.answer(rf.get("/"), BadCredentials()).status_code == 401
    assert lines() == []


@pytest.mark.parametrize("formatter", [logs.PlainFormatter(), logs.JsonFormatter()], ids=["plain", "json"])
def test_a_password_in_an_address_is_not_logged(formatter: logging.Formatter) -> None:
    error = OperationalError("invalid dsn: postgresql://iaf:hunter2@db.example.dz:5432/iaf?sslmode=x")
    try:
        raise error
    except OperationalError:
        trace = sys.exc_info()
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "Error: %s redis://:s3cret@h/0", (error,), trace)
    line = formatter.format(record)
    assert "hunter2" not in line
    assert "s3cret" not in line
    assert "postgresql://iaf:***@db.example.dz" in line


def test_a_pool_without_a_connection_says_what_keeps_it_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = psycopg.OperationalError("connection failed: server does not support SSL, but SSL was required")
    monkeypatch.setattr("accounts.postgres.trouble", lambda: refused)
    error = from_postgres(PoolTimeout("couldn't get a connection after 1.50 sec"))
    assert is_away(error)
    assert "PoolTimeout: couldn't get a connection after 1.50 sec, from OperationalError: connection failed" in (
        causes.describe(error)
    )
