"""HTTP to the providers: one pool per process, no redirects, no retries, and a deadline on the whole."""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from accounts.once import Once

from ..errors import Unclear, Unsent

CONNECT_SECONDS = 3.0
# A plain call, in all.
WHOLE_SECONDS = 120.0
# A stream: until its first byte, between two events of data, and in all.
FIRST_BYTE_SECONDS = 30.0
IDLE_SECONDS = 60.0
STREAM_SECONDS = 300.0
# A whole answer is never longer; what is longer is not an answer.
MOST_BYTES = 32 * 1024 * 1024
AT_ONCE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def _make_pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        num_pools=64, maxsize=2000, retries=False, ssl_context=ssl.create_default_context(), cert_reqs="CERT_REQUIRED"
    )


_pool = Once(_make_pool)


def post(url: str, headers: Mapping[str, str], body: bytes, seconds: float | None = None) -> Answer:
    """Send and read whole, within `seconds` in all. Raises `Unsent` or `Unclear`."""
    deadline = time.monotonic() + (seconds or WHOLE_SECONDS)
    with failures_told():
        response = open_post(url, headers, body, seconds or WHOLE_SECONDS)
        try:
            return Answer(response.status, response.headers, b"".join(_read(response, deadline)))
        except BaseException:
            # Half-read, it must not go back to the pool.
            response.close()
            raise


@contextmanager
def stream_post(
    url: str, headers: Mapping[str, str], body: bytes, seconds: float | None = None
) -> Iterator["StreamedAnswer"]:
    """Send, and read as it comes. Raises `Unsent` or `Unclear`; leaving it early hangs up on the provider."""
    began = time.monotonic()
    with failures_told():
        response = open_post(url, headers, body, FIRST_BYTE_SECONDS)
    answer = StreamedAnswer(response, deadline=began + (seconds or STREAM_SECONDS))
    try:
        yield answer
    finally:
        if not answer.whole:
            response.close()


def open_post(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> urllib3.response.BaseHTTPResponse:
    return _pool().request(
        "POST",
        url,
        body=body,
        headers=headers,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds),
        redirect=False,
        preload_content=False,
    )


class StreamedAnswer:
    """An answer that is still coming. The idle clock counts from the last event of data: comments do not wind it."""

    def __init__(self, response: urllib3.response.BaseHTTPResponse, deadline: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.whole = False
        self._response = response
        self._deadline = deadline
        self._idle_until = time.monotonic() + FIRST_BYTE_SECONDS

    def chunks(self) -> Iterator[bytes]:
        with failures_told():
            while True:
                wait_at_most(self._response, min(self._idle_until, self._deadline) - time.monotonic())
                chunk = self._response.read1(AT_ONCE)
                if not chunk:
                    self.whole = True
                    return
                yield chunk

    def data_came(self) -> None:
        self._idle_until = time.monotonic() + IDLE_SECONDS

    def error_body(self) -> bytes:
        """The body of an error, or of a plain answer to a call that asked for a stream."""
        with failures_told():
            body = b"".join(_read(self._response, time.monotonic() + FIRST_BYTE_SECONDS))
        self.whole = True
        return body

    def finish(self) -> None:
        """The last event came; what remains is the end of the message, and then the connection can be used again."""
        try:
            for _rest in self.chunks():
                return
        except Unclear:
            return


def wait_at_most(response: urllib3.response.BaseHTTPResponse, seconds: float) -> None:
    """How long the next read may take."""
    if seconds <= 0:
        raise Unclear("timeout")
    socket = getattr(response.connection, "sock", None)
    if socket is not None:
        socket.settimeout(seconds)


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
    except (ReadTimeoutError, TimeoutError) as error:
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
