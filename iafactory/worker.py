"""gunicorn's gevent worker, with one thing mended: connections kept alive do not hold up its end.

As it comes it waits for every open connection, idle ones too, until the graceful time-out: a browser tab would make
each stop last 30 s.
"""

from types import FrameType, TracebackType
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

SETTLING_SECONDS = 5


class Idle:
    """The wait for the next request on a connection, which the worker may end early."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self.timeout = gevent.Timeout(worker.cfg.keepalive, False)

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


def abandon() -> None:
    from usage.process import this_process

    this_process().abandon()


class Worker(GeventWorker):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle: set[Idle] = set()

    def timeout_ctx(self) -> Idle:
        return Idle(self)

    def handle_exit(self, signal: int, frame: FrameType | None) -> None:
        super().handle_exit(signal, frame)
        for waiting in list(self.idle):
            waiting.end()
        # At the end of its grace the worker is killed; what it then still has under way is settled a moment before.
        gevent.spawn_later(max(0, self.cfg.graceful_timeout - SETTLING_SECONDS), abandon)
