"""Everything that comes in is bounded: by the running product, over plain sockets where a client would be too kind."""

import json
import socket
import time
from contextlib import suppress
from typing import Any

import pytest
import requests

from conftest import key_of, person
from iafactory.worker import MOST_CHUNKS
from tests.concurrency import at_once
from tests.product import LOG, Customer, Product
from tests.standins.provider import ProviderStandIn

pytestmark = pytest.mark.live

MIB = 1024 * 1024


@pytest.fixture
def alice(product: Product) -> Customer:
    return Customer(product, key_of(person("alice@example.dz", "enterprise")))


def connect(product: Product) -> socket.socket:
    return socket.create_connection(("127.0.0.1", product.port), timeout=60)


def closed_after(connection: socket.socket, first: bytes, *, trickle: bytes = b"") -> tuple[float, bytes]:
    """Seconds until the server lets go of somebody who sends `first` and then a byte a second; and what it said."""
    began, said = time.monotonic(), b""
    connection.sendall(first)
    while time.monotonic() - began < 55:
        try:
            # Half of a chunk is no chunk: whoever is busy is waited for.
            connection.settimeout(60)
            if trickle:
                connection.sendall(trickle)
            connection.settimeout(0.5)
            if not (piece := connection.recv(4096)):
                break
            said += piece
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began, said


def head(customer: Customer, **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += ["Host: localhost", f"Authorization: {customer.session.headers['Authorization']!s}"]
    return ("POST /api/v2/chat HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


def code_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# Bodies


@pytest.mark.parametrize("path", ["/api/v2/chat", "/v1/chat/completions", "/api/auth/login", "/admin/login/"])
def test_a_body_too_large_is_refused_unread(alice: Customer, path: str) -> None:
    answer = alice.session.post(alice.product.url + path, data=b"x" * (9 * MIB), timeout=30)
    assert code_of(answer) == (400, "body_too_large")
    assert answer.headers["Connection"] == "close"


def test_a_declared_gigabyte_is_refused_before_it_is_sent(alice: Customer) -> None:
    with connect(alice.product) as connection:
        seconds, said = closed_after(connection, head(alice, Content_Length=str(1024 * MIB)))
    assert b" 400 " in said.splitlines()[0]
    assert b"body_too_large" in said
    assert seconds < 8


def test_an_uploaded_file_does_not_fill_the_disk(product: Product) -> None:
    answer = requests.post(f"{product.url}/admin/login/", files={"file": b"x" * (9 * MIB)}, timeout=30)
    assert code_of(answer) == (400, "body_too_large")


def test_a_form_in_json_is_small(alice: Customer) -> None:
    body = {"email": "a@example.dz", "password": "x" * 100_000}
    assert code_of(alice.post("/api/auth/login", body)) == (400, "body_too_large")


def test_an_image_of_five_megabytes_goes_through(alice: Customer, standin_server: ProviderStandIn) -> None:
    url = "data:image/png;base64," + "A" * (5 * MIB)
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = alice.post("/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]})
    assert answer.status_code == 200, answer.text[:300]


def test_a_body_in_chunks_is_taken(alice: Customer) -> None:
    body = json.dumps({"prompt": "Bonjour", "model": "gpt-oss-20b"}).encode()
    answer = alice.session.post(
        f"{alice.product.url}/api/v2/chat",
        data=(body[place : place + 7] for place in range(0, len(body), 7)),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


def test_chunks_without_end_are_not(alice: Customer) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with connect(alice.product) as connection:
        seconds, said = closed_after(connection, head(alice, Transfer_Encoding="chunked"), trickle=chunk * 16)
    assert b"body_too_large" in said
    assert seconds < 50


def test_nobody_is_kept_waiting_by_tiny_chunks(product: Product) -> None:
    """Not even a stranger's: a million of them took a worker two seconds, in which it served nobody."""
    start = b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(product) as connection, suppress(ConnectionError):
        connection.sendall(start + b"1\r\nx\r\n" * (MOST_CHUNKS + 1) + b"0\r\n\r\n")
        assert connection.recv(1000) == b""
    with connect(product) as connection:
        connection.sendall(start + b"1\r\nx\r\n" * (MOST_CHUNKS - 1) + b"0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 ")


def test_nobody_is_slow_for_long(alice: Customer) -> None:
    """Headers, a body, chunks, and a connection that says nothing: each let go in its time, all at once."""
    cases: list[tuple[str, bytes, bytes]] = [
        ("silence", b"", b""),
        ("headers", b"GET /health HTTP/1.1\r\nX-Slow: ", b"x"),
        ("body", head(alice, Content_Length="1000"), b" "),
        ("chunks", head(alice, Transfer_Encoding="chunked"), b"1\r\nx\r\n"),
    ]
    turn = iter(cases)

    def slow() -> tuple[str, float, bytes]:
        name, first, trickle = next(turn)
        with connect(alice.product) as connection:
            return (name, *closed_after(connection, first, trickle=trickle))

    found, _raised = at_once(len(cases), slow)
    seconds = {name: round(time) for name, time, _said in found}
    assert seconds["silence"] < 20
    assert seconds["headers"] < 20
    assert 15 < seconds["body"] < 35
    assert 15 < seconds["chunks"] < 35
    assert alice.chat(model="gpt-oss-20b").status_code == 200


# JSON


@pytest.mark.parametrize("depth", [100, 260, 1000, 1100, 100_000])
@pytest.mark.parametrize("place", ["body", "tools", "message"])
def test_json_nested_deeply(alice: Customer, depth: int, place: str) -> None:
    nest = b'{"a":' * depth + b"1" + b"}" * depth
    tools = b'[{"type":"function","function":{"name":"f","parameters":%s}}]' % nest
    message = b'{"role":"user","content":"x"}'
    body = {
        "body": nest,
        "tools": b'{"model":"gpt-oss-20b","messages":[%s],"tools":%s}' % (message, tools),
        "message": b'{"model":"gpt-oss-20b","messages":[{"role":"user","content":"x","more":%s}]}' % nest,
    }[place]
    headers = {"Content-Type": "application/json"}
    answer = alice.session.post(f"{alice.product.url}/v1/chat/completions", data=body, headers=headers, timeout=30)
    fine = {"body": (), "tools": (100,), "message": (100, 260, 1000)}[place]
    assert answer.status_code == (200 if depth in fine else 400), answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "x"}] * 2001},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 2001}]},
        {"messages": [{"role": "user", "content": "x"}], "tools": [{}] * 129},
        {"messages": [{"role": "user", "content": "x"}], "stop": ["x"] * 17},
        {"messages": [[]] * 200_000},
        {"messages": [0] * 1_500_000},
    ],
    ids=["messages", "parts", "tools", "stops", "brackets", "commas"],
)
def test_too_many_of_anything(alice: Customer, body: dict[str, Any]) -> None:
    answer = alice.post("/v1/chat/completions", {"model": "gpt-oss-20b", **body})
    assert answer.status_code == 400


def test_a_prompt_no_model_could_read(alice: Customer) -> None:
    answer = alice.chat("cafe " * MIB, model="gpt-oss-20b")
    assert code_of(answer) == (400, "prompt_too_long")


# Headers


@pytest.mark.parametrize(
    "lines",
    [
        "GET /" + "x" * 9000 + " HTTP/1.1\r\nHost: localhost\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + "x" * 9000 + "\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"X-{n}: 1\r\n" for n in range(150)),
        "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "GET /health HTTP/1.1\r\nHost : localhost\r\n",
    ],
    ids=["line", "long", "many", "two lengths", "two content-lengths", "space before the colon"],
)
def test_headers_without_end_or_sense(product: Product, lines: str) -> None:
    with connect(product) as connection:
        _seconds, said = closed_after(connection, f"{lines}\r\n".encode())
    assert said.split()[1] in (b"400", b"414", b"431"), said[:200]


# Logs


def test_nobody_forges_a_line_of_the_log(alice: Customer) -> None:
    forged = "12:00:00 ERROR   Budget 100% forged-by-a-customer"
    alice.chat(model=f"x\n{forged}")
    alice.session.get(f"{alice.product.url}/nothing", headers={"X-Request-ID": "a", "User-Agent": "x\ty"}, timeout=30)
    alice.post("/api/auth/login", {"email": f"a@example.dz\n{forged}", "password": "x"})
    lines = LOG.read_text(errors="replace").splitlines()
    assert [line for line in lines if line.startswith("12:00:00 ERROR   Budget 100% forged")] == []
