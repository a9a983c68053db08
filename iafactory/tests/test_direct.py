"""The WSGI application as gunicorn calls it: what the test client, which calls Django's middleware, does not pass."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.signals import request_started
from django.db import connection
from django.test import Client

from accounts.models import User
from conftest import key_of
from iafactory.wsgi import application


@pytest.fixture
def signals() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(environ: dict[str, Any], **_rest: Any) -> None:
        seen.append(environ["PATH_INFO"])

    request_started.connect(note)
    yield seen
    request_started.disconnect(note)


def call(path: str, body: Any = None, key: str = "") -> tuple[str, dict[str, str], Any]:
    said = json.dumps(body).encode() if body else b""
    environ = {
        "REQUEST_METHOD": "POST" if body else "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(said)),
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "wsgi.input": io.BytesIO(said),
        "wsgi.url_scheme": "http",
    }
    began: list[Any] = []
    answer = application(environ, lambda status, headers: began.extend([status, dict(headers)]))
    return began[0], began[1], answer


@pytest.mark.django_db
@pytest.mark.usefixtures("standin")
def test_a_chat_whole_and_in_pieces_without_signals(alice: User, signals: list[str]) -> None:
    key = key_of(alice)
    status, headers, answer = call("/api/v2/chat", {"prompt": "Bonjour"}, key)
    assert (status, headers["Content-Type"]) == ("200 OK", "application/json")
    assert int(headers["Content-Length"]) == len(b"".join(answer))
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}], "stream": True}
    status, headers, answer = call("/v1/chat/completions", chat, key)
    assert (status, headers["Content-Type"]) == ("200 OK", "text/event-stream; charset=utf-8")
    assert b"".join(answer).endswith(b"data: [DONE]\n\n")
    answer.close()
    assert signals == []


@pytest.mark.django_db(transaction=True)
def test_the_connection_to_postgresql_goes_back(signals: list[str]) -> None:
    """Where nothing else ends the request: it was refused before admission."""
    # Tests that commit leave the tables empty.
    call_command("load_tiers", verbosity=0)
    known = key_of(User.objects.create(email="dora@example.dz"))
    for path in ("/api/v2/chat", "/v1/chat/completions", "/health"):
        for key, body in (("iaf_nobody", {"prompt": "Bonjour"}), (known, {"prompt": 5}), ("", None)):
            connection.ensure_connection()
            status, _headers, answer = call(path, body, key)
            b"".join(answer)
            assert status[:3] in {"200", "401", "400", "405"}
            assert connection.connection is None
    assert signals == []
    assert call("/robots.txt")[0] == "404 Not Found"
    assert signals == ["/robots.txt"]


def crash(*_anything: Any) -> Any:
    raise RuntimeError("no")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The exceptions that were logged with their tracebacks."""
    return [str(record.exc_info[1]) for record in caplog.records if record.exc_info]


def test_the_unexpected_is_answered_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("iafactory.direct.view_at", lambda path: crash)
    status, _headers, answer = call("/api/v2/chat", {"prompt": "Bonjour"})
    assert status == "500 Internal Server Error"
    assert json.loads(b"".join(answer))["error"]["code"] == "server_error"
    assert told(caplog) == ["no"]


@pytest.mark.django_db
def test_so_it_is_where_the_rest_framework_asks(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llmrouter.v1.views.catalogue", crash)
    client = Client(raise_request_exception=False)
    assert client.get("/v1/models", headers={"Authorization": f"Bearer {key_of(alice)}"}).status_code == 500
    assert told(caplog) == ["no"]


@pytest.mark.django_db
@pytest.mark.usefixtures("standin")
def test_so_it_is_in_the_middle_of_a_stream(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llmrouter.metering.Meter.reply", crash)
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}], "stream": True}
    status, _headers, answer = call("/v1/chat/completions", chat, key_of(alice))
    assert status == "200 OK"
    assert b"server_error" in b"".join(answer)
    answer.close()
    assert told(caplog) == ["no"]
