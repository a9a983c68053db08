"""gunicorn's gevent worker, with four things mended.

Newcomers are taken up at once. As it comes a worker takes one connection each time around its loop, so that workers
that share a socket share what comes to it; ours have a socket each, and one that was busy with streams (15 ms a round)
let the last of a crowd wait for most of a second.

Connections kept alive do not hold up its end. As it comes it waits for every open connection, idle ones too, until the
graceful time-out: a browser tab would make each stop last 30 s.

Nobody keeps a connection busy by being slow, nor a worker by being small. As it comes a body may trickle in for ever,
or in millions of chunks of a byte, and what is left of one that was refused is read to its end, however long it is.

The head of an answer leaves with what follows it, in one system call instead of two.
"""

import io
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import gevent
from gunicorn.http.body import ChunkedReader
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

SETTLING_SECONDS = 5
# From the connection to the end of its first request's headers. (Later ones have the time of the keep-alive in all.)
HEADER_SECONDS = 10
# A body has this long, and this much longer for what has come: 512 kbit/s fill 8 MiB in time.
BODY_SECONDS = 20.0
BODY_BYTES_PER_SECOND = 64 * 1024
# Nobody took, or sent, a byte for so long: the other end is gone, or wants us to wait. Longer than the keep-alive.
STALLED_SECONDS = 80
LINGER_SECONDS = 2.0
# As `DATA_UPLOAD_MAX_MEMORY_SIZE`, which cannot be asked before Django is there.
MOST_BYTES = 8 * 1024 * 1024
# Each costs some microseconds in which nobody else is served. Thrice as many as `MOST_BYTES` have packets on a network.
MOST_CHUNKS = 20_000


class Idle:
    """The wait for the next request on a connection, which the worker may end early."""

    def __init__(self, worker: "Worker", seconds: float) -> None:
        self._worker = worker
        self.timeout = gevent.Timeout(seconds, False)

    def __enter__(self) -> None:
        self.greenlet = gevent.getcurrent()
        self._worker.idle.add(self)
        self.timeout.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._worker.idle.discard(self)
        self.timeout.cancel()
        return error is self.timeout

    def end(self) -> None:
        """As if the time had run out."""
        gevent.get_hub().loop.run_callback(self.greenlet.throw, self.timeout)


class Body:
    """A request's body that has to come in at a bearable pace; reading a slow one raises `TimeoutError`."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._began = time.monotonic()
        self.received = 0
        # Reading it raised: nobody knows where the next request begins. gunicorn asks.
        self.failed = False

    def read(self, size: int | None = None) -> bytes:
        return self._in_time(self._body.read, size)

    def readline(self, size: int | None = None) -> bytes:
        return self._in_time(self._body.readline, size)

    def _in_time(self, read: Any, size: int | None) -> bytes:
        parts: list[bytes] = []
        wanted = MOST_BYTES + 1 if size is None or size < 0 else size
        while wanted > 0:
            # In pieces, so that what has come counts.
            piece = self._piece(read, min(wanted, BODY_BYTES_PER_SECOND))
            parts.append(piece)
            wanted -= len(piece)
            if not piece or (piece.endswith(b"\n") and read == self._body.readline):
                break
        return b"".join(parts)

    def _piece(self, read: Any, size: int) -> bytes:
        left = self._began + BODY_SECONDS + self.received / BODY_BYTES_PER_SECOND - time.monotonic()
        try:
            with gevent.Timeout(max(0.001, left), TimeoutError("the body came too slowly")):
                piece: bytes = read(size)
        except BaseException:
            self.failed = True
            raise
        self.received += len(piece)
        return piece


class HeadWithBody:
    """A socket that keeps the head of an answer until the first of its body comes."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._head: bytes | None = b""

    def sendall(self, data: bytes) -> None:
        if self._head == b"":
            self._head = data
            return
        self.flush(data)

    def flush(self, data: bytes = b"") -> None:
        """Send what is kept, before this."""
        head, self._head = self._head or b"", None
        if head or data:
            self._sock.sendall(head + data)

    def __getattr__(self, name: str) -> Any:
        # Whoever wants the socket for something else (a file is sent past us) finds the head gone.
        self.flush()
        return getattr(self._sock, name)


def declared_length(request: Any) -> int | None:
    """Of its body; None where it comes in chunks of which nobody says how many."""
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING":
            return None
        if name == "CONTENT-LENGTH":
            return int(value)
    return 0


def not_too_many(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        if number == MOST_CHUNKS:
            raise TimeoutError("the body came in too many chunks")
        yield chunk


def give_a_length(request: Any, sock: Any) -> None:
    """Take in a body that comes in chunks, for Django knows only bodies that say how long they are."""
    if request._expected_100_continue:
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        request._expected_100_continue = False
    body = request.body.read(MOST_BYTES + 1)
    request.body = Body(io.BytesIO(body[:MOST_BYTES]))
    request.headers = [entry for entry in request.headers if entry[0] != "TRANSFER-ENCODING"]
    request.headers.append(("CONTENT-LENGTH", str(len(body))))


def let_the_answer_arrive(sock: Any) -> None:
    """Before a connection is closed on somebody who is still sending: else the closing may overtake the answer."""
    with gevent.Timeout(LINGER_SECONDS, False), suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(64 * 1024):
            pass


def abandon() -> None:
    from usage.process import this_process

    this_process().abandon()


class Worker(GeventWorker):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle: set[Idle] = set()
        # Those of whom nothing has come yet.
        self.newcomers: set[Any] = set()

    def run(self) -> None:
        # Read there for whether others take from the same socket, and for `wsgi.multiprocess`, which nobody here asks.
        if self.cfg.reuse_port:
            self.cfg.set("workers", 1)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        # Past gevent's own, which would let the socket wait without end.
        client.settimeout(STALLED_SECONDS)
        self.newcomers.add(gevent.getcurrent())
        AsyncWorker.handle(self, listener, client, addr)

    def timeout_ctx(self) -> Idle:
        current = gevent.getcurrent()
        if current not in self.newcomers:
            return Idle(self, self.cfg.keepalive)
        self.newcomers.discard(current)
        return Idle(self, HEADER_SECONDS)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        length = declared_length(req)
        if isinstance(req.body.reader, ChunkedReader):
            req.body.reader.parser = not_too_many(req.body.reader.parser)
        body = req.body = Body(req.body)
        try:
            if length is None:
                give_a_length(req, sock)
            elif length > MOST_BYTES:
                # It is refused unread, and need not be sent.
                req._expected_100_continue = False
                req.force_close()
            answer = HeadWithBody(sock)
            try:
                handled = super().handle_request(listener_name, req, answer, addr)
            finally:
                answer.flush()
        except TimeoutError as error:
            self.log.debug("A client is let go: %s", error)
            raise StopIteration from None
        finally:
            # What is left of a smaller one gunicorn reads before the next request, at the same pace.
            unread = max(length or 0, body.received) > MOST_BYTES
            if unread and not body.failed:
                let_the_answer_arrive(sock)
        if unread:
            raise StopIteration
        return handled

    def handle_exit(self, signal: int, frame: FrameType | None) -> None:
        super().handle_exit(signal, frame)
        for waiting in list(self.idle):
            waiting.end()
        # At the end of its grace the worker is killed; what it then still has under way is settled a moment before.
        gevent.spawn_later(max(0, self.cfg.graceful_timeout - SETTLING_SECONDS), abandon)
