"""What a process remembers of the truth in PostgreSQL, and for how long.

Fresh for 5 s, so that a change made anywhere (the admin, another process, plain SQL) is in force within 5 s everywhere.
While PostgreSQL cannot be asked it is served stale, up to 10 minutes old; after that, or for what was never known,
`StoreAway` is raised.
"""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connection

FRESH_SECONDS = 5.0
STALE_SECONDS = 600.0
# While PostgreSQL is away one caller in this many seconds finds out whether it is back; the others do not wait for it.
ASK_AGAIN_SECONDS = 1.0

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class StoreAway(Exception):
    """PostgreSQL cannot be asked, and nothing usable is remembered."""


@dataclass(slots=True)
class Remembered(Generic[Value]):
    value: Value
    asked_at: float


class Fresh(Generic[Key, Value]):
    """A bounded memory over `load(key)`; one load at a time per key."""

    def __init__(self, load: Callable[[Key], Value], *, size: int = 50_000) -> None:
        self._load = load
        self._size = size
        self._entries: dict[Key, Remembered[Value]] = {}
        self._locks = [threading.Lock() for _ in range(64)]

    def get(self, key: Key) -> Value:
        entry = self._entries.get(key)
        if entry is not None and time.monotonic() - entry.asked_at < FRESH_SECONDS:
            return entry.value
        if _store.away():
            return self._stale(key)
        # A crowd of one caller's requests arrives on an expired entry: one of them asks.
        with self._locks[hash(key) % len(self._locks)]:
            entry = self._entries.get(key)
            if entry is not None and time.monotonic() - entry.asked_at < FRESH_SECONDS:
                return entry.value
            return self._ask(key)

    def forget(self, key: Key) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def _ask(self, key: Key) -> Value:
        if _store.away():
            return self._stale(key)
        # The age counts from the question: a change committed while the answer was on its way is not in it.
        asked_at = time.monotonic()
        try:
            value = self._load(key)
        except (OperationalError, InterfaceError):
            _store.went_away()
            return self._stale(key)
        except Exception:
            self._entries.pop(key, None)
            raise
        self._entries.pop(key, None)
        self._entries[key] = Remembered(value, asked_at)
        if len(self._entries) > self._size:
            self._entries.pop(next(iter(self._entries)), None)
        return value

    def _stale(self, key: Key) -> Value:
        entry = self._entries.get(key)
        if entry is None or time.monotonic() - entry.asked_at > STALE_SECONDS:
            raise StoreAway
        return entry.value


def release_connection() -> None:
    """Give this thread's database connection back to the pool, so that a long wait does not hold it."""
    if not connection.in_atomic_block:
        close_old_connections()


class _Store:
    """Whether PostgreSQL was away a moment ago; shared by all memories of the process."""

    def __init__(self) -> None:
        self._ask_again_at = 0.0

    def away(self) -> bool:
        return time.monotonic() < self._ask_again_at

    def went_away(self) -> None:
        self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS


_store = _Store()
