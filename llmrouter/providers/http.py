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
WHOLE_SECONDS = 120.0
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


def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send and read whole, within `WHOLE_SECONDS`. Raises `Unsent` or `Unclear`."""
    seconds = WHOLE_SECONDS
    deadline = time.monotonic() + seconds
    with failures_told():
        response = open_post(url, headers, body, seconds=seconds)
        try:
            return Answer(response.status, response.headers, b"".join(_read(response, deadline)))
        except BaseException:
            # Half-read, it must not go back to the pool.
            response.close()
            raise


def open_post(
    url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
) -> urllib3.response.BaseHTTPResponse:
    return _pool().request(
        "POST",
        url,
        body=body,
        headers=headers,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds),
        redirect=False,
        preload_content=False,
    )


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
