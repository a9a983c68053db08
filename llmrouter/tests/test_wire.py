"""The connections to the providers, byte for byte: a server says exactly this, and what becomes of it."""

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.errors import Unclear, Unsent
from llmrouter.providers import http, wire
from llmrouter.providers.http import Answer, post, stream_post
from llmrouter.providers.registry import Patience
from tests.concurrency import at_once
from tests.standins.scripted import Echo, Scripted

PATIENCE = Patience(connect=2, first_byte=2, idle=1, whole=3, stream=3)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Cost: 7\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def server() -> Iterator[Scripted]:
    server = Scripted()
    wire.origin.cache_clear()
    yield server
    server.close()
    wire.origin.cache_clear()


def ask(server: Scripted, **headers: str) -> Answer:
    return post(f"http://{server.netloc}/v1/chat?x=1", headers, b'{"a":1}', PATIENCE)


def streamed(server: Scripted) -> list[bytes]:
    with stream_post(f"http://{server.netloc}/v1/chat", {}, b"{}", PATIENCE) as answer:
        return list(answer.chunks())


def test_what_is_sent(server: Scripted) -> None:
    server.says(OK)
    answer = ask(server, Authorization="Bearer k")
    assert (answer.status, answer.body, answer.headers.get("x-cost")) == (200, b"{}", "7")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.splitlines() == [
        b"POST /v1/chat?x=1 HTTP/1.1",
        b"Host: " + server.netloc.encode(),
        b"Content-Length: 7",
        b"Accept-Encoding: identity",
        b"Authorization: Bearer k",
    ]
    assert body == b'{"a":1}'


@pytest.mark.parametrize("key", ["bad\r\nX-Evil: 1", "bad\nname", "\0", "a – dash"])
def test_no_header_breaks_out_of_its_line(server: Scripted, key: str) -> None:
    with pytest.raises(Unsent, match="bad_header"):
        ask(server, Authorization=key)
    assert server.requests == []


def test_one_connection_serves_many_calls(server: Scripted) -> None:
    for _ in range(3):
        server.says(OK)
        assert ask(server).status == 200
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"X-Cost: 7", b"Connection: close"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        OK + b"noise",
    ],
)
def test_a_connection_that_is_not_at_its_beginning_is_not_used_again(server: Scripted, answer: bytes) -> None:
    server.says(answer)
    server.says(OK)
    assert [ask(server).body, ask(server).body] == [b"{}", b"{}"]
    assert server.connections == 2


def test_one_that_the_provider_closed_meanwhile_is_replaced(server: Scripted) -> None:
    server.says(OK, None)
    server.says(OK)
    assert ask(server).status == 200
    time.sleep(0.1)
    assert ask(server).status == 200
    assert server.connections == 2


def test_an_old_one_is_not_risked(server: Scripted, monkeypatch: Any) -> None:
    for _ in range(2):
        server.says(OK)
    ask(server)
    monkeypatch.setattr(wire, "KEPT_SECONDS", 0.0)
    ask(server)
    assert server.connections == 2


def test_those_that_a_burst_left_are_closed(server: Scripted, monkeypatch: Any) -> None:
    known = wire.origin("http", server.netloc)
    for line in [known.connect(1) for _ in range(5)]:
        known.keep(line)
    assert len(known._kept) == 5
    monkeypatch.setattr(wire, "KEPT_SECONDS", 0.05)
    time.sleep(0.1)
    known.keep(known.connect(1))
    assert len(known._kept) == 1


def test_one_that_is_closed_already_is_not_kept(server: Scripted) -> None:
    """The collector, ending a stream that nobody closed, may come to its socket first."""
    server.says(OK)
    known = wire.origin("http", server.netloc)
    line = known.connect(1)
    response = known.post(line, "/", {}, b"{}")
    response.read_head(5)
    while response.read(5):
        pass
    line.close()
    response.release()
    assert not known._kept


def test_informational_answers_come_before_the_answer(server: Scripted) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nX-Cost: 9\r\nLink: </x>\r\n\r\n"
    server.says(b"HTTP/1.1 100 Continue\r\n\r\n", hints + OK)
    answer = ask(server)
    assert (answer.status, answer.body, "Link" in answer.headers) == (200, b"{}", False)
    assert answer.headers.get("X-Cost") == "7"


@pytest.mark.parametrize("cut_at", range(1, 40, 3))
def test_chunks_cut_anywhere(server: Scripted, cut_at: int) -> None:
    text = b"5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: 1\r\n\r\n"
    server.says(CHUNKED + text[:cut_at], text[cut_at:])
    assert b"".join(streamed(server)) == b"hello world"
    server.says(OK)
    ask(server)
    assert server.connections == 1


@pytest.mark.parametrize(
    "body",
    [b"5 \r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\nX-Cost: 9\r\n\r\n"],
    ids=["a space behind the size", "trailers"],
)
def test_what_others_forgive(server: Scripted, body: bytes) -> None:
    server.says(CHUNKED.replace(b"OK\r\n", b"OK\r\nX-Cost: 7\r\n") + body)
    answer = ask(server)
    assert (answer.body, answer.headers.get("X-Cost"), answer.headers.get("Transfer-Encoding")) == (
        b"hello",
        "7",
        "chunked",
    )


def test_chunks_leave_as_they_come_and_those_that_came_together_together(server: Scripted) -> None:
    server.says(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n1\r\nc\r\n", b"0\r\n\r\n")
    assert streamed(server) == [b"a", b"bc"]


def test_without_a_length_it_ends_with_the_connection(server: Scripted) -> None:
    server.says(b"HTTP/1.1 200 OK\r\n\r\n", b"all of", b" it", None)
    assert ask(server).body == b"all of it"


@pytest.mark.parametrize(
    "pieces",
    [
        [None],
        [b"HTTP/1.1 200 OK\r\nContent-", None],
        [OK[:-1], None],
        [CHUNKED + b"5\r\nhel", None],
        [CHUNKED + b"5\r\nhello\r\n", None],
        [b"not HTTP at all\r\n\r\n"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"],
        [CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ],
)
def test_what_is_cut_or_broken_is_unclear(server: Scripted, pieces: list[bytes | None]) -> None:
    server.says(*pieces)
    with pytest.raises(Unclear, match="cut"):
        ask(server)


def test_who_refuses_a_body_unread_has_answered(server: Scripted) -> None:
    refused = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    server.says(refused, None)
    answer = post(f"http://{server.netloc}/", {}, b"x" * 100, PATIENCE)
    assert (answer.status, answer.body) == (413, b"")


@pytest.mark.parametrize("pieces", [[], [b"HTTP/1.1 200 OK\r\n"], [OK[:-1]]])
def test_silence_is_a_time_out(server: Scripted, pieces: list[bytes]) -> None:
    server.says(*pieces)
    quick = Patience(connect=1, first_byte=0.3, idle=0.3, whole=0.3, stream=1)
    with pytest.raises(Unclear, match="timeout"):
        post(f"http://{server.netloc}/", {}, b"{}", quick)


def test_nobody_listens(server: Scripted) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unsent, match="no_connection"):
        post(f"http://127.0.0.1:{port}/", {}, b"{}", PATIENCE)
    with pytest.raises(Unsent, match="no_connection"):
        post("http://nowhere.invalid/", {}, b"{}", PATIENCE)


def with_body(body: bytes, encoding: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_who_compresses_unasked_is_read(server: Scripted) -> None:
    server.says(with_body(gzip.compress(b'{"b": 2}' * 1000), "gzip"))
    assert ask(server).body == b'{"b": 2}' * 1000


@pytest.mark.parametrize("end", ["", "closed"])
def test_a_compressed_answer_that_is_cut(server: Scripted, end: str) -> None:
    cut = with_body(gzip.compress(b"hello")[:-6], "gzip")
    server.says(cut.replace(b"Content-Length", b"X-Length") if end else cut, None)
    with pytest.raises(Unclear, match="cut"):
        ask(server)


def test_who_compresses_nothing(server: Scripted) -> None:
    server.says(with_body(b"", "gzip"))
    assert ask(server).body == b""


def test_who_says_compressed_and_is_not(server: Scripted) -> None:
    server.says(with_body(b"{}", "gzip"))
    with pytest.raises(Unclear, match="unreadable"):
        ask(server)


@pytest.mark.parametrize(
    "answer",
    [
        with_body(gzip.compress(b"0" * (wire.MOST_INFLATED + 1)), "gzip"),
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * (wire.MOST_AROUND + wire.AT_ONCE) + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
    ],
    ids=["bomb", "head", "continues"],
)
def test_too_large(server: Scripted, answer: bytes) -> None:
    server.says(answer)
    with pytest.raises(Unclear, match="too_large"):
        ask(server)


ANSWERS = (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", with_body(gzip.compress(b"hello"), "gzip"))


def mangled(answer: bytes, place: int, gone: int, junk: bytes) -> bytes:
    place %= len(answer)
    return answer[:place] + junk + answer[place + gone :]


@given(
    st.binary(max_size=200)
    | st.builds(mangled, st.sampled_from(ANSWERS), st.integers(0, 200), st.integers(0, 30), st.binary(max_size=20))
)
@settings(max_examples=300, deadline=None)
def test_any_answer_is_read_or_unclear(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        response = wire.Response(wire.Origin("http", "provider.test"), ours)
        try:
            assert outcome(lambda: read_whole(response)) in {"read", "cut", "unreadable", "too_large"}
        finally:
            response.release()
            ours.close()


def outcome(work: Callable[[], None]) -> str:
    try:
        work()
    except Unclear as error:
        return error.code
    return "read"


def read_whole(response: wire.Response) -> None:
    response.read_head(5)
    assert 200 <= response.status < 1000
    while response.read(5):
        continue
    assert response.whole


def test_a_body_without_end(server: Scripted, monkeypatch: Any) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 1000)
    server.says(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 400] * 4)
    with pytest.raises(Unclear, match="too_large"):
        ask(server)


@pytest.mark.parametrize(
    "endless",
    [
        CHUNKED + b"1\r\na\r\n0\r\nX: " + b"x" * 300_000,
        CHUNKED + b"1;" + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"a") + b"x" * 300_000,
    ],
    ids=["trailer", "extension", "behind the end"],
)
def test_what_is_no_body_has_an_end(server: Scripted, endless: bytes) -> None:
    server.says(endless)
    began = time.monotonic()
    with pytest.raises(Unclear, match=r"too_large|unreadable|cut"):
        streamed(server)
    assert time.monotonic() - began < PATIENCE.idle


def test_a_slow_caller_is_no_slow_provider(server: Scripted) -> None:
    quick = Patience(connect=1, first_byte=1, idle=0.2, whole=3, stream=3)
    server.says(CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n")
    with stream_post(f"http://{server.netloc}/", {}, b"{}", quick) as answer:
        found = []
        for chunk in answer.chunks():
            answer.data_came()
            found.append(chunk)
            time.sleep(0.4)
    assert found == [b"a", b"b"]


def test_who_leaves_early_hangs_up(server: Scripted) -> None:
    server.says(CHUNKED + b"1\r\na\r\n")
    with stream_post(f"http://{server.netloc}/", {}, b"{}", PATIENCE) as answer:
        assert next(answer.chunks()) == b"a"
    server.says(OK)
    ask(server)
    assert server.connections == 2


def test_a_thousand_at_once_share_nothing(server: Scripted) -> None:
    """Each gets the answer to its own question, over connections that go from hand to hand."""
    finished: list[bool] = []

    def caller(number: int) -> None:
        url = f"http://{echo.netloc}/"
        for turn in range(50):
            body = b"%d-%d" % (number, turn)
            finished.append(post(url, {}, body, PATIENCE).body == body)

    echo = Echo()
    numbers = iter(range(20))
    at_once(20, lambda: caller(next(numbers)))
    echo.close()
    assert finished == [True] * 1000
    assert echo.connections <= 20
