"""What of gunicorn's gevent worker was mended, where no client can see it."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from iafactory.worker import Worker


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.parametrize(("own_socket", "at_once"), [(True, 100), (False, 1)])
def test_a_worker_with_a_socket_of_its_own_takes_up_all_who_wait(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, own_socket: bool, at_once: int
) -> None:
    from gevent.server import StreamServer

    accepting: list[int] = []

    def start(server: Any) -> None:
        accepting.append(server.max_accept)

    monkeypatch.setattr(StreamServer, "start", start)
    configured = Config()
    configured.set("workers", 2)
    configured.set("reuse_port", own_socket)
    worker = Worker(1, 0, [listener], None, 30, configured, Logger(configured))
    worker.alive = False
    worker.run()
    assert accepting == [at_once]
