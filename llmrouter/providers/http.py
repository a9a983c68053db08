"""HTTP to the providers: one pool per process, no redirects, no retries, and a deadline on the whole."""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from accounts.deadline import TooLate, at_most
from accounts.once import Once

from ..errors import Unclear, Unsent
from .registry import Patience

# A whole answer is never longer; what is longer is not an answer.
MOST_BYTES = 32 * 1024 * 1024
AT_ONCE = 64 * 1024
# A body of a few megabytes, from a server on a slow line.
SENDING_SECONDS = 60.0
FINISH_SECONDS = 1.0
NEVER = urllib3.Retry(False, redirect=False)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class _AtOnce:
    """Sends a request in one piece, and takes its time over it.

    urllib3 sends the head and the body each by itself: that is a system call more, a tenth of all that a call costs.
    And it gives the sending of a body the time that it gives to connecting, which is too little for a large one on a
    slow line; what bounds it is the deadline of the whole.
    """

    sock: socket.socket
    _held: list[bytes] | None = None

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock.settimeout(SENDING_SECONDS)

    def request(self, *args: Any, **options: Any) -> None:
        self._held = []
        try:
            super().request(*args, **options)  # type: ignore[misc]
            whole = b"".join(self._held)
        finally:
            self._held = None
        self.send(whole)

    def send(self, data: Any) -> None:
        if self._held is not None:
            self._held.append(data)
        else:
            super().send(data)  # type: ignore[misc]


class _HTTPConnection(_AtOnce, urllib3.connection.HTTPConnection):
    pass


class _HTTPSConnection(_AtOnce, urllib3.connection.HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def _make_pool() -> urllib3.PoolManager:
    pool = urllib3.PoolManager(
        num_pools=64, maxsize=2000, retries=False, ssl_context=ssl.create_default_context(), cert_reqs="CERT_REQUIRED"
    )
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


_pool = Once(_make_pool)


def post(url: str, headers: Mapping[str, str], body: bytes, patience: Patience) -> Answer:
    """Send and read whole. Raises `Unsent` or `Unclear`."""
    deadline = time.monotonic() + patience.whole
    with failures_told(), at_most(patience.whole):
        response = _open(url, headers, body, patience.connect, patience.whole)
        try:
            return Answer(response.status, response.headers, b"".join(_read(response, deadline)))
        except BaseException:
            # Half-read, it must not go back to the pool.
            response.close()
            raise


@contextmanager
def stream_post(url: str, headers: Mapping[str, str], body: bytes, patience: Patience) -> Iterator["StreamedAnswer"]:
    """Send, and read as it comes. Raises `Unsent` or `Unclear`; leaving it early hangs up on the provider."""
    with failures_told(), at_most(patience.connect + SENDING_SECONDS + patience.first_byte):
        response = _open(url, headers, body, patience.connect, patience.first_byte)
    answer = StreamedAnswer(response, patience)
    try:
        yield answer
    finally:
        if not answer.whole:
            response.close()


def _open(
    url: str, headers: Mapping[str, str], body: bytes, connect: float, read: float
) -> urllib3.response.BaseHTTPResponse:
    parts = urlsplit(url)
    return _pool_of(parts.scheme, parts.netloc).urlopen(
        "POST",
        f"{parts.path}?{parts.query}" if parts.query else parts.path,
        body=body,
        headers=headers,
        timeout=urllib3.Timeout(connect=connect, read=read),
        retries=NEVER,
        redirect=False,
        assert_same_host=False,
        preload_content=False,
    )


@cache
def _pool_of(scheme: str, host: str) -> urllib3.HTTPConnectionPool:
    """Asked for once per provider: the manager takes each address apart, at a tenth of the cost of a call."""
    return _pool().connection_from_url(f"{scheme}://{host}")


class StreamedAnswer:
    """An answer that is still coming. The idle clock counts from the last event of data: comments do not wind it."""

    def __init__(self, response: urllib3.response.BaseHTTPResponse, patience: Patience) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.whole = False
        self._response = response
        self._patience = patience
        self._deadline = time.monotonic() + patience.stream
        self._idle_until = time.monotonic() + patience.first_byte

    def chunks(self) -> Iterator[bytes]:
        """As they come; those that came together, together: under load that is one pass for many of them."""
        with failures_told():
            while True:
                wait_at_most(self._response, min(self._idle_until, self._deadline) - time.monotonic())
                chunk = self._response.read1(AT_ONCE)
                if not chunk:
                    self.whole = True
                    return
                while len(chunk) < AT_ONCE and whole_chunk_waits(self._response):
                    chunk += self._response.read1(AT_ONCE)
                yield chunk

    def data_came(self) -> None:
        self._idle_until = time.monotonic() + self._patience.idle

    def error_body(self) -> bytes:
        """The body of an error, or of a plain answer to a call that asked for a stream."""
        with failures_told():
            body = b"".join(_read(self._response, time.monotonic() + self._patience.first_byte))
        self.whole = True
        return body

    def finish(self) -> None:
        """The last event came; what remains is the end of the message, and then the connection can be used again."""
        self._idle_until = time.monotonic() + FINISH_SECONDS
        try:
            for _rest in self.chunks():
                return
        except Unclear:
            # It does not end it: not used again, then.
            return


def wait_at_most(response: urllib3.response.BaseHTTPResponse, seconds: float) -> None:
    """How long the next read may take."""
    if seconds <= 0:
        raise Unclear("timeout")
    line = getattr(response.connection, "sock", None)
    if line is not None:
        line.settimeout(seconds)


def whole_chunk_waits(response: urllib3.response.BaseHTTPResponse) -> bool:
    """Whether the next chunk of the transfer encoding has arrived whole, so that reading it cannot wait."""
    answer: Any = getattr(response, "_fp", None)
    line: Any = getattr(response.connection, "sock", None)
    if line is None or not answer.chunked or answer.fp is None:
        return False
    # With an empty buffer, looking asks the socket, which may not wait for more.
    patience = line.gettimeout()
    line.settimeout(0)
    try:
        here = answer.fp.peek()
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        line.settimeout(patience)
    # Of the chunk before, the end of line is still there.
    size, found, rest = here.removeprefix(b"\r\n").partition(b"\r\n")
    try:
        return bool(found) and len(rest) >= int(size.partition(b";")[0], 16) + len(b"\r\n")
    except ValueError:
        return False


@contextmanager
def failures_told() -> Iterator[None]:
    """urllib3's errors as ours: before the request was sent it is `Unsent`, after it nobody can tell."""
    try:
        yield
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise Unsent("no_connection") from error
    except SSLError as error:
        # A certificate is judged before anything is sent; other troubles of TLS may come at any time.
        if isinstance(error.args[0], ssl.SSLCertVerificationError):
            raise Unsent("tls") from error
        raise Unclear("tls") from error
    except (ReadTimeoutError, TimeoutError, TooLate) as error:
        raise Unclear("timeout") from error
    except (HTTPError, OSError) as error:
        raise Unclear("cut") from error


def _read(response: urllib3.response.BaseHTTPResponse, deadline: float) -> Iterator[bytes]:
    size = 0
    while True:
        wait_at_most(response, deadline - time.monotonic())
        chunk = response.read1(AT_ONCE)
        if not chunk:
            return
        size += len(chunk)
        if size > MOST_BYTES:
            raise Unclear("too_large")
        yield chunk
