"""What differs from gunicorn's gevent worker, where no client can see it."""

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from gunicorn.config import Config
from gunicorn.glogging import Logger

from iafactory.worker import ACCEPTED_AT_ONCE, Connection, Worker

REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def worker(listener: socket.socket) -> Worker:
    configured = Config()
    configured.set("workers", 2)
    return Worker(1, 0, [listener], None, 30, configured, Logger(configured))


@pytest.fixture
def ends() -> Iterator[tuple[Any, Any]]:
    """The two ends of a connection: the server's and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = gevent_socket.create_connection(listening.getsockname())
        accepted, _address = listening.accept()
        ours = gevent_socket.socket(fileno=accepted.detach())
    with ours, theirs:
        yield ours, theirs


def until_it_reads(worker: Worker) -> None:
    """Until the loop has seen that something came."""
    with gevent.Timeout(5):
        while worker.waiting:
            # With 0 the loop would run callbacks only, and never look at the sockets.
            gevent.sleep(0.001)


def read_in(connection: Connection, sock: Any, size: int) -> bytes:
    """As gunicorn reads a head: in the context, until it is whole or the client is gone."""
    read = b""
    with connection:
        while len(read) < size and (piece := sock.recv(size - len(read))):
            read += piece
    return read


def test_one_of_several_workers_accepts_a_crowd_at_once(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    from gevent.server import StreamServer

    accepting: list[int] = []
    monkeypatch.setattr(StreamServer, "start", lambda server: accepting.append(server.max_accept))
    # As gunicorn's `patch` leaves them.
    worker.sockets = [gevent_socket.socket(fileno=listening.detach()) for listening in worker.sockets]
    worker.alive, worker.wsgi = False, None
    worker.run()
    assert accepting == [ACCEPTED_AT_ONCE]


def test_connections_that_wait_at_the_close_of_the_listener_are_handled(
    worker: Worker, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[tuple[str, int]] = []
    monkeypatch.setattr(worker, "handle", lambda named, client, address: handled.append(named.getsockname()))
    ours = gevent_socket.socket(fileno=listener.detach())
    name = ours.getsockname()
    server = worker.server_class(ours, spawn=gevent.spawn)
    with socket.create_connection(name), socket.create_connection(name):
        server.close()
        gevent.sleep(0)
    assert handled == [name, name]


def test_a_request_that_arrives_as_the_wait_ends_is_read_to_its_end(worker: Worker, ends: tuple[Any, Any]) -> None:
    """The head comes in two packets; the wait is ended after the first, before the loop has seen it."""
    ours, theirs = ends
    connection = Connection(worker, ours)
    reading = gevent.spawn(read_in, connection, ours, len(REQUEST))
    gevent.sleep(0)
    assert worker.waiting == {connection}
    theirs.sendall(REQUEST[:10])
    worker.end_waits()
    until_it_reads(worker)
    theirs.sendall(REQUEST[10:])
    assert reading.get(timeout=5) == REQUEST


def test_a_silent_connection_ends_with_the_wait(worker: Worker, ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    reading = gevent.spawn(read_in, Connection(worker, ours), ours, len(REQUEST))
    gevent.sleep(0)
    worker.end_waits()
    assert reading.get(timeout=5) == b""
    assert worker.waiting == set()
    # It is no reset: the client's own end works until the server closes.
    theirs.sendall(b"x")


def test_a_wait_that_has_ended_already_is_left_alone(worker: Worker, ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    connection = Connection(worker, ours)
    reading = gevent.spawn(read_in, connection, ours, len(REQUEST))
    theirs.sendall(REQUEST[:10])
    gevent.sleep(0)
    until_it_reads(worker)
    worker.end_waits()
    theirs.sendall(REQUEST[10:])
    assert reading.get(timeout=5) == REQUEST


def test_a_request_that_arrives_at_the_keep_alive_timeout_is_read(worker: Worker, ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    worker.cfg.set("keepalive", 0)
    connection = Connection(worker, ours)
    theirs.sendall(b"first")
    assert read_in(connection, ours, 5) == b"first"
    theirs.sendall(REQUEST)
    assert read_in(connection, ours, len(REQUEST)) == REQUEST


def test_a_connection_that_stays_idle_is_closed(worker: Worker, ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    worker.cfg.set("keepalive", 0)
    connection = Connection(worker, ours)
    theirs.sendall(b"first")
    assert read_in(connection, ours, 5) == b"first"
    with pytest.raises(StopIteration):
        read_in(connection, ours, 1)
