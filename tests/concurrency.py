"""Races for real: the same thing from many threads at one instant; and waiting for what others bring about."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(number: int, action: Callable[[], T]) -> tuple[list[T], list[Exception]]:
    """What came back, and what was raised."""
    done: list[T] = []
    raised: list[Exception] = []
    gate = threading.Barrier(number)

    def run() -> None:
        gate.wait()
        try:
            done.append(action())
        except Exception as error:  # noqa: BLE001 (the test looks at it)
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done, raised


def eventually(check: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
    return found
