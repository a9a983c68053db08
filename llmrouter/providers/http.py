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
from .sse import BLANKS
from .wire import SENDING_SECONDS, Headers, Origin, Response, origin

# A whole answer is never longer; what is longer is not an answer.
MOST_BYTES = 32 * 1024 * 1024
FINISH_SECONDS = 1.0
# Some providers neither end nor close a stream behind the finish reason; the client waits for it.
ENDING_SECONDS = 15.0
DOCUMENTS = (b"{", b"[", b"<")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        return is_success(self.status)


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


def is_success(status: int) -> bool:
    """Some proxies answer 201 or 203."""
    return 200 <= status < 300


class StreamedAnswer:
    """An answer that is still coming. Before its first word any byte is a sign of life, up to `patience.thinking` in
    all: a model that thinks for minutes sends comments. From then on the idle clock counts from the last event of data,
    for a comment does not show that an answer goes on."""

    def __init__(self, response: Response, patience: Patience) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._patience = patience
        now = time.monotonic()
        self._deadline = now + patience.stream
        self._idle_until = now + patience.first_byte
        self._thinking_until = now + patience.thinking
        # What was read of it to see what it is.
        self._begun = b""

    @property
    def is_success(self) -> bool:
        return is_success(self.status)

    def is_one_document(self) -> bool:
        """Whether it is JSON or HTML and no stream of events, whatever its Content-Type says. Waits for its first byte
        that is not blank."""
        for chunk in self.chunks():
            self._begun += chunk
            if begins := self._begun.lstrip(BLANKS)[:1]:
                return begins in DOCUMENTS
            self.sign_of_life()
        return True

    def chunks(self) -> Iterator[bytes]:
        """As they come; those that came together, together: under load that is one pass for many of them."""
        if self._begun:
            begun, self._begun = self._begun, b""
            yield begun
        with failures_told():
            while chunk := self._response.read(min(self._idle_until, self._deadline) - time.monotonic()):
                began = time.monotonic()
                yield chunk
                # A caller who is slow to take it is not a provider who is slow to send.
                self._idle_until += time.monotonic() - began

    def data_came(self, *, last: bool = False) -> None:
        """`last`: the provider said why the answer ends, and only its usage may follow."""
        waited_for = min(self._patience.idle, ENDING_SECONDS) if last else self._patience.idle
        self._idle_until = time.monotonic() + waited_for

    def sign_of_life(self) -> None:
        """Bytes before the first word that say nothing."""
        waited_for = min(time.monotonic() + self._patience.first_byte, self._thinking_until)
        self._idle_until = max(self._idle_until, waited_for)

    def body(self) -> bytes:
        """The body of an error, or of a plain answer to a call that asked for a stream."""
        with failures_told():
            return self._begun + _read(self._response, time.monotonic() + self._patience.first_byte)

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
