"""gunicorn's gevent worker, with five changes.

All connections of a crowd are accepted at once. gunicorn lets one of several workers accept one connection in each turn
of its loop. A turn takes 15 ms when the worker serves many streams, so the last of a crowd waited for most of a second.

A stop loses no request and does not wait for idle connections. gunicorn waits for every open connection until the
graceful timeout, for idle ones too: one browser tab made each stop last 30 s. Here an idle connection has
`LEAVING_SECONDS` for its next request, which is served and answered with `Connection: close`; then it is closed.

A slow client is cut off. gunicorn reads a body that trickles in, or comes in millions of chunks of one byte, for ever,
and it reads the rest of a refused body to its end, however long it is.

The head of an answer is sent together with the first part of its body: one system call instead of two.

When the master dies, its workers finish what they serve. gunicorn's workers exit at once and cut it.
"""

import fcntl
import io
import os
import signal
import socket
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import FrameType, SimpleNamespace, TracebackType
from typing import Any

import gevent
from gevent.server import StreamServer
from gevent.socket import wait_read
from gunicorn.http.body import ChunkedReader
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

SETTLING_SECONDS = 5
# A new connection waits so long for its first byte; the head of every request must end so long after its first byte.
HEADER_SECONDS = 10
# After SIGTERM, how long a connection may wait for its next request.
LEAVING_SECONDS = 5
# In one turn of the loop: high enough for a crowd, low enough that the workers share it.
ACCEPTED_AT_ONCE = 8
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


class Connection:
    """A client's connection. As a context manager it covers the wait for the next request and the reading of its head.

    Only the wait ends early when the worker stops. It ends by `shutdown(SHUT_RD)`, never by an exception that is thrown
    into the greenlet: a request that arrives in the same instant is in the socket's buffer, is read, and is served.
    """

    def __init__(self, worker: "Worker", sock: Any) -> None:
        self._worker = worker
        self._sock = sock
        self._wait_seconds: float = HEADER_SECONDS
        # gunicorn's buffer of what it has read from the socket; known from the first request on.
        self.unreader: Any = None

    def __enter__(self) -> None:
        if not self._next_request_has_begun():
            # gunicorn closes the connection.
            raise StopIteration
        self._head = gevent.Timeout.start_new(HEADER_SECONDS, False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._head.cancel()
        self._wait_seconds = self._worker.cfg.keepalive
        return error is self._head

    def _next_request_has_begun(self) -> bool:
        if self.unreader is not None and self.unreader.buf.getbuffer().nbytes:
            return True
        # A stream that began before the stop was answered with `Connection: keep-alive`: its client may send again.
        seconds = self._wait_seconds if self._worker.alive else min(self._wait_seconds, LEAVING_SECONDS)
        self._worker.waiting.add(self)
        try:
            wait_read(self._sock.fileno(), seconds)
        except TimeoutError:
            return self._has_unread_bytes()
        finally:
            self._worker.waiting.discard(self)
        return True

    def _has_unread_bytes(self) -> bool:
        # Asked of the kernel: the loop may not have seen yet that a request came.
        return any(fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, bytes(4)))

    def end_wait(self) -> None:
        """Close the connection, unless a request has begun to arrive."""
        if not self._has_unread_bytes():
            # The client may be gone already.
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RD)


class Server(StreamServer):  # type: ignore[misc]
    """The accepting side of a worker. All workers share gunicorn's one listening socket."""

    max_accept = ACCEPTED_AT_ONCE

    def close(self) -> None:
        # The kernel has accepted these connections already; if no other worker is left, closing would reset them.
        while not self.closed and not self.full() and (accepted := self.do_read()):
            self.do_handle(*accepted)
        super().close()


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
        self.connections: dict[Any, Connection] = {}
        # Connections that wait for their next request.
        self.waiting: set[Connection] = set()

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> Server:
        """gunicorn calls it for each listening socket."""
        # gunicorn asks for the name at each connection: of a socket that is closed by then, when the worker stops.
        name = listener.getsockname()
        named = SimpleNamespace(getsockname=lambda: name)
        return Server(listener, handle=partial(self.handle, named), spawn=spawn)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi: Any = self.closing_when_stopped(self.wsgi)

    def closing_when_stopped(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Answers that begin after SIGTERM say `Connection: close`. gunicorn decides it when the request begins."""

        def answering(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            def start(*args: Any) -> Any:
                if not self.alive:
                    start_response.__self__.force_close()
                return start_response(*args)

            return application(environ, start)

        return answering

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        # Past gevent's own, which would let the socket wait without end.
        client.settimeout(STALLED_SECONDS)
        greenlet = gevent.getcurrent()
        self.connections[greenlet] = Connection(self, client)
        try:
            AsyncWorker.handle(self, listener, client, addr)
        finally:
            del self.connections[greenlet]

    def timeout_ctx(self) -> Connection:
        return self.connections[gevent.getcurrent()]

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        self.connections[gevent.getcurrent()].unreader = req.unreader
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
            # The rest of the body goes at the body's pace, not in the time of the next request's head.
            while body.received < (length or 0) <= MOST_BYTES and body.read(BODY_BYTES_PER_SECOND):
                pass
        except TimeoutError as error:
            self.log.debug("A client is let go: %s", error)
            raise StopIteration from None
        finally:
            unread = max(length or 0, body.received) > MOST_BYTES
            if unread and not body.failed:
                let_the_answer_arrive(sock)
        if unread:
            raise StopIteration
        return handled

    def notify(self) -> None:
        self.tmp.notify()
        if self.alive and self.ppid != os.getppid():
            self.log.warning("The master is gone: worker %s ends after the requests that it serves", self.pid)
            self.handle_exit(signal.SIGTERM, None)

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        super().handle_exit(number, frame)
        gevent.spawn_later(LEAVING_SECONDS, self.end_waits)
        # At the end of its grace the worker is killed; what it then still has under way is settled a moment before.
        gevent.spawn_later(max(0, self.cfg.graceful_timeout - SETTLING_SECONDS), abandon)

    def end_waits(self) -> None:
        for connection in list(self.waiting):
            connection.end_wait()
