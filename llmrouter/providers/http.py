"""Calls of the providers: no redirects, no retries, a deadline on the whole, and failures told as ours."""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from accounts.deadline import TooLate, at_most

from ..errors import Unclear
from .registry import Patience
from .wire import SENDING_SECONDS, Headers, Origin, Response, origin

# A whole answer is never longer; what is longer is not an answer.
MOST_BYTES = 32 * 1024 * 1024
FINISH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Headers
    body: bytes


def post(url: str, headers: Mapping[str, str], body: bytes, patience: Patience) -> Answer:
    """Send and read whole. Raises `Unsent` or `Unclear`."""
    deadline = time.monotonic() + patience.whole
    known, path = _address(url)
    line = known.connect(min(patience.connect, patience.whole))
    with failures_told(), at_most(patience.whole):
        response = known.post(line, path, headers, body)
        try:
            response.read_head(deadline - time.monotonic())
            return Answer(response.status, response.headers, _read(response, deadline))
        finally:
            response.release()


@contextmanager
def stream_post(url: str, headers: Mapping[str, str], body: bytes, patience: Patience) -> Iterator["StreamedAnswer"]:
    """Send, and read as it comes. Raises `Unsent` or `Unclear`; leaving it early hangs up on the provider."""
    known, path = _address(url)
    line = known.connect(patience.connect)
    with failures_told(), at_most(SENDING_SECONDS):
        response = known.post(line, path, headers, body)
    try:
        with failures_told():
            response.read_head(patience.first_byte)
        yield StreamedAnswer(response, patience)
    finally:
        response.release()


def _address(url: str) -> tuple[Origin, str]:
    parts = urlsplit(url)
    return origin(parts.scheme, parts.netloc), f"{parts.path}?{parts.query}" if parts.query else parts.path


class StreamedAnswer:
    """An answer that is still coming. The idle clock counts from the last event of data: comments do not wind it."""

    def __init__(self, response: Response, patience: Patience) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._patience = patience
        self._deadline = time.monotonic() + patience.stream
        self._idle_until = time.monotonic() + patience.first_byte

    def chunks(self) -> Iterator[bytes]:
        """As they come; those that came together, together: under load that is one pass for many of them."""
        with failures_told():
            while chunk := self._response.read(min(self._idle_until, self._deadline) - time.monotonic()):
                began = time.monotonic()
                yield chunk
                # A caller who is slow to take it is not a provider who is slow to send.
                self._idle_until += time.monotonic() - began

    def data_came(self) -> None:
        self._idle_until = time.monotonic() + self._patience.idle

    def error_body(self) -> bytes:
        """The body of an error, or of a plain answer to a call that asked for a stream."""
        with failures_told():
            return _read(self._response, time.monotonic() + self._patience.first_byte)

    def finish(self) -> None:
        """The last event came; what remains is the end of the message, and then the connection can be used again."""
        self._idle_until = time.monotonic() + FINISH_SECONDS
        try:
            for _rest in self.chunks():
                return
        except Unclear:
            # It does not end it: not used again, then.
            return


@contextmanager
def failures_told() -> Iterator[None]:
    """What may go wrong once a request is on its way: nobody can tell then whether it was billed."""
    try:
        yield
    except (TimeoutError, TooLate) as error:
        raise Unclear("timeout") from error
    except ssl.SSLError as error:
        raise Unclear("tls") from error
    except OSError as error:
        raise Unclear("cut") from error


def _read(response: Response, deadline: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := response.read(deadline - time.monotonic()):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise Unclear("too_large")
    return b"".join(parts)
