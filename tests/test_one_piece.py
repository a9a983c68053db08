"""What belongs together goes over the wire together: each piece is a system call, and a packet."""

import http.client
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from iafactory.worker import HeadWithBody
from llmrouter.providers.wire import Origin
from tests.product import Product


@pytest.fixture
def pair() -> Iterator[tuple[HeadWithBody, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        yield HeadWithBody(ours), theirs


def test_the_head_of_an_answer_leaves_with_its_body(pair: Any) -> None:
    answer, other_end = pair
    answer.sendall(b"head ")
    with pytest.raises(BlockingIOError):
        other_end.recv(100)
    answer.sendall(b"body")
    assert other_end.recv(100) == b"head body"
    answer.sendall(b"more")
    assert other_end.recv(100) == b"more"


def test_whoever_wants_the_socket_finds_the_head_gone(pair: Any) -> None:
    answer, other_end = pair
    answer.sendall(b"head ")
    answer.fileno()
    assert other_end.recv(100) == b"head "


def test_a_head_alone_leaves_in_the_end(pair: Any) -> None:
    answer, other_end = pair
    answer.sendall(b"head ")
    answer.flush()
    assert other_end.recv(100) == b"head "
    answer.flush()
    with pytest.raises(BlockingIOError):
        other_end.recv(100)


def test_a_request_to_a_provider_leaves_in_one_piece() -> None:
    ours, theirs = socket.socketpair()
    sent: list[int] = []

    class Line(socket.socket):
        def sendall(self, data: Any, flags: int = 0) -> None:
            sent.append(len(data))
            super().sendall(data, flags)

    line = Line(fileno=ours.detach())
    with line, theirs:
        Origin("http", "provider.test").post(line, "/chat", {"Accept": "application/json"}, b"{}")
        request = theirs.recv(4096)
    head, _, body = request.partition(b"\r\n\r\n")
    assert sent == [len(request)]
    assert head.splitlines()[0] == b"POST /chat HTTP/1.1"
    assert {b"Host: provider.test", b"Content-Length: 2", b"Accept: application/json"} <= set(head.splitlines())
    assert body == b"{}"


@pytest.mark.live
def test_every_kind_of_answer_on_one_connection(product: Product) -> None:
    """With a body, without one, a file, a refusal: each begins where the one before ended."""
    connection = http.client.HTTPConnection(urlsplit(product.url).netloc, timeout=20)
    seen: list[tuple[int, bool]] = []
    for method, path in [
        ("GET", "/health"),
        ("HEAD", "/health"),
        ("GET", "/static/iafactory/dashboard.js"),
        ("GET", "/v1/models"),
        ("GET", "/health"),
    ]:
        connection.request(method, path)
        answer = connection.getresponse()
        seen.append((answer.status, bool(answer.read())))
    assert seen == [(200, True), (200, False), (200, True), (401, True), (200, True)]
    connection.request("HEAD", "/health", headers={"Connection": "close"})
    assert connection.getresponse().status == 200
