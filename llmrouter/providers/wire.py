"""HTTP/1.1 on connections that are kept: sockets of our own, and httptools (llhttp, node's parser) to read answers.

In the place of urllib3 on http.client, which took a quarter of all that a call costs and a tenth of what a stream does
(docs/performance.md): they parse heads as mail, and read each chunk of a stream by itself.
"""

import select
import socket
import ssl
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit

import httptools
from gevent.monkey import get_original

from accounts.deadline import TooLate, at_most

from ..errors import Unclear, Unsent
from .connecting import addresses_of, connect_first

AT_ONCE = 64 * 1024
# A head with the informational ones before it, or what else is not body.
MOST_AROUND = 64 * 1024
MOST_KEPT = 2000
# Servers close what is idle after a minute or more. A request that meets the closing on its way may have arrived or
# not, and is charged as if it had: older ones are not risked.
KEPT_SECONDS = 30.0
# A body of a few megabytes, on a slow line. What bounds it more closely is the deadline of the whole.
SENDING_SECONDS = 60.0
# Nobody is asked to compress. Who does it all the same is read, but what grows beyond this at once is a bomb.
MOST_INFLATED = 8 * 1024 * 1024
COMPRESSIONS = ("gzip", "x-gzip", "deflate")

# Asked with no wait, the real one never blocks: gevent's takes twenty times as long.
poll = get_original("select", "poll")


class Headers(Mapping[str, str]):
    """Names are kept in lower case, and asked for in any."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, name: bytes, value: bytes) -> None:
        self._values[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def clear(self) -> None:
        self._values.clear()


class Origin:
    """A provider's server: opens connections to it, and keeps those that can serve again."""

    def __init__(self, scheme: str, netloc: str) -> None:
        parts = urlsplit(f"{scheme}://{netloc}")
        self._address = (parts.hostname or "", parts.port or (443 if scheme == "https" else 80))
        self._name = netloc.rpartition("@")[2]
        self._context = ssl.create_default_context() if scheme == "https" else None
        # And since when.
        self._kept: deque[tuple[socket.socket, float]] = deque()

    def connect(self, seconds: float) -> socket.socket:
        """One that is kept, or a new one. Raises `Unsent`."""
        while True:
            try:
                # The one used last: the others may grow old and go.
                line, since = self._kept.pop()
            except IndexError:
                return self._open(seconds)
            if time.monotonic() - since < KEPT_SECONDS and not has_something_to_read(line):
                return line
            line.close()

    def post(self, line: socket.socket, path: str, headers: Mapping[str, str], body: bytes) -> "Response":
        """Send; the answer has not begun yet. Raises `Unsent` before it sends, and what sockets raise."""
        taken = True
        try:
            request = self._head(path, headers, len(body)) + body
            line.settimeout(SENDING_SECONDS)
            try:
                line.sendall(request)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                # Who refuses a body unread hangs up on it, and may have answered.
                taken = False
        except BaseException:
            line.close()
            raise
        return Response(self, line, taken=taken)

    def _head(self, path: str, headers: Mapping[str, str], length: int) -> bytes:
        said = {"Host": self._name, "Content-Length": length, "Accept-Encoding": "identity", **headers}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
        if any(not line.isprintable() for line in lines):
            # A line break would begin another header.
            raise Unsent("bad_header")
        try:
            return "\r\n".join([*lines, "\r\n"]).encode("latin-1")
        except UnicodeEncodeError as error:
            raise Unsent("bad_header") from error

    def _open(self, seconds: float) -> socket.socket:
        """Nothing of a request leaves before it returns: whatever goes wrong in here, nobody is charged."""
        try:
            # A socket timeout covers neither DNS resolution nor the whole TLS handshake.
            with at_most(seconds):
                return self._connected(seconds)
        except ssl.SSLError as error:
            raise Unsent("tls") from error
        except (OSError, UnicodeError, TooLate) as error:
            raise Unsent("no_connection") from error

    def _connected(self, seconds: float) -> socket.socket:
        """By the first address that connects and, where there is TLS, shakes hands: something on the way may accept for
        a server that is gone, so while other addresses are left no handshake takes more than half of the time left."""
        until = time.monotonic() + seconds
        addresses = addresses_of(*self._address)
        while True:
            line, addresses = connect_first(addresses, until - time.monotonic())
            left = until - time.monotonic()
            share = left / 2 if addresses else left
            try:
                with at_most(share):
                    return self._greeted(line, share)
            except (OSError, TooLate):
                if not addresses or time.monotonic() >= until:
                    raise

    def _greeted(self, line: socket.socket, seconds: float) -> socket.socket:
        try:
            line.settimeout(max(seconds, 0.001))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                return line
            line = self._context.wrap_socket(line, server_hostname=self._address[0], do_handshake_on_connect=False)
            line.do_handshake()
        except BaseException:
            line.close()
            raise
        return line

    def keep(self, line: socket.socket) -> None:
        self._kept.append((line, time.monotonic()))
        # The oldest go: those that nobody needed since a burst.
        with suppress(IndexError):
            while len(self._kept) > MOST_KEPT or time.monotonic() - self._kept[0][1] > KEPT_SECONDS:
                self._kept.popleft()[0].close()


@cache
def origin(scheme: str, netloc: str) -> Origin:
    return Origin(scheme, netloc)


def has_something_to_read(line: socket.socket) -> bool:
    """On a connection that nobody has asked anything: its end, or something that is no answer."""
    looking = poll()
    looking.register(line.fileno(), select.POLLIN)
    return bool(looking.poll(0))


class Response:
    """An answer as it comes in. `release` it when done: its connection is kept if it can be used again."""

    def __init__(self, origin: Origin, line: socket.socket, *, taken: bool = True) -> None:
        # 0 until its head has come.
        self.status = 0
        self.headers = Headers()
        self.whole = False
        self._origin = origin
        self._line = line
        # Whether the whole request went out.
        self._taken = taken
        self._parser = httptools.HttpResponseParser(self)
        # As other readers of HTTP; the rules on lengths stay strict, for they keep answers apart.
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True, lenient_optional_cr_before_lf=True)
        # Bytes since the last of the body: heads, trailers and the edges of chunks.
        self._around = 0
        self._came: list[bytes] = []
        self._compressed = False
        # Once some of a compressed body has come.
        self._inflate: zlib._Decompress | None = None
        # Without a length it ends with the connection.
        self._ends_by_itself = False
        self._reusable = False

    def read_head(self, seconds: float) -> None:
        """Raises `Unclear`, and what sockets raise."""
        until = time.monotonic() + seconds
        while not self.status:
            self._receive(until)

    def read(self, seconds: float) -> bytes:
        """What has come of the body, at least a byte; nothing at its end."""
        until = time.monotonic() + seconds
        while True:
            while not self._came and not self.whole:
                self._receive(until)
            came = b"".join(self._came)
            self._came.clear()
            if self._compressed and came:
                came = self._inflated(came)
            if self.whole and self._inflate is not None and not self._inflate.eof:
                raise Unclear("cut")
            if came or self.whole:
                return came

    def _inflated(self, data: bytes) -> bytes:
        if self._inflate is None:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            grown = self._inflate.decompress(data, MOST_INFLATED)
        except zlib.error as error:
            raise Unclear("unreadable") from error
        if self._inflate.unconsumed_tail:
            raise Unclear("too_large")
        if self._inflate.unused_data:
            # Something behind its end.
            raise Unclear("unreadable")
        return grown

    def _receive(self, until: float) -> None:
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise Unclear("timeout")
        data = self._arrived(seconds)
        if data:
            self._around += len(data)
            self._feed(data)
            if self._came:
                self._around = 0
            elif self._around > MOST_AROUND and not self.whole:
                raise Unclear("too_large")
        elif self.status and not self._ends_by_itself:
            self.whole = True
        else:
            raise Unclear("cut")

    def _arrived(self, seconds: float) -> bytes:
        self._line.settimeout(seconds)
        if not isinstance(self._line, ssl.SSLSocket):
            return self._line.recv(AT_ONCE)
        # gevent's begins its time anew with each part of a record.
        with at_most(seconds):
            return self._line.recv(AT_ONCE)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # Behind a whole answer it is noise, and the connection is not used again.
            self._reusable = False
            if not self.whole:
                raise Unclear("cut") from error

    def release(self) -> None:
        # The parser knows us and we it: nobody should have to find that circle.
        del self._parser
        # Of a stream that the collector ends the socket may be gone before us.
        if self._reusable and self._line.fileno() >= 0:
            self._origin.keep(self._line)
        else:
            self._line.close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        # More than one answer to one question: whatever it is, it is nobody's.
        self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # Those behind a body are nobody's.
        if not self.status:
            self.headers.add(name, value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.whole or status < 200:
            # An informational one: the answer is still to come.
            return
        self.status = status
        self._ends_by_itself = "content-length" in self.headers or "transfer-encoding" in self.headers
        self._compressed = self.headers.get("content-encoding", "").lower() in COMPRESSIONS

    def on_body(self, data: bytes) -> None:
        if self.status and not self.whole:
            self._came.append(data)

    def on_message_complete(self) -> None:
        if self.status and not self.whole:
            self.whole = True
            self._reusable = self._taken and self._parser.should_keep_alive()
        elif not self.status:
            self.headers.clear()
