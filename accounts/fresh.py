"""What a process remembers of the truth in PostgreSQL, and for how long.

Fresh for 5 s, so that a change made anywhere (the admin, another process, plain SQL) is in force within 5 s everywhere.
While PostgreSQL cannot be asked it is served stale, up to 10 minutes old; after that, or for what was never known,
`StoreAway` is raised.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, close_old_connections, connections

from .deadline import TooLate, at_most

FRESH_SECONDS = 5.0
STALE_SECONDS = 600.0
# A question that takes longer was asked of a server that is away, frozen or overrun.
ANSWER_SECONDS = 2.5
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
        failures = _store.failures
        if _store.do_without():
            return self._stale(key)
        # A crowd of one caller's requests arrives on an expired entry: one of them asks, the others wait for it.
        with _held(self._locks[hash(key) % len(self._locks)]):
            entry = self._entries.get(key)
            if entry is not None and time.monotonic() - entry.asked_at < FRESH_SECONDS:
                return entry.value
            # If it asked in vain, they do not each do so again.
            return self._ask(key) if _store.failures == failures else self._stale(key)

    def forget(self, key: Key) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def _ask(self, key: Key) -> Value:
        # The age counts from the question: a change committed while the answer was on its way is not in it.
        asked_at = time.monotonic()
        try:
            with at_most(ANSWER_SECONDS):
                value = self._load(key)
        except (OperationalError, InterfaceError, TooLate):
            # In the middle of a question the connection is of no more use.
            release_connection()
            _store.went_away()
            return self._stale(key)
        except Exception:
            self._entries.pop(key, None)
            # Refused, perhaps without a question: it did not find out whether PostgreSQL is back.
            _store.ask_again_now()
            raise
        _store.is_there()
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


@contextmanager
def _held(lock: threading.Lock) -> Iterator[None]:
    if not lock.acquire(blocking=False):
        # Whoever asks may be waiting for a connection. As many as the pool has, each held by one who waits here, would
        # keep everybody waiting until the pool's time-out.
        release_connection()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def release_connection() -> None:
    """Give this thread's database connection back to the pool, so that a long wait does not hold it."""
    own = connections[DEFAULT_DB_ALIAS]
    if own.connection is not None and not own.in_atomic_block:
        close_old_connections()


class _Store:
    """Whether PostgreSQL was away a moment ago; shared by all memories of the process."""

    def __init__(self) -> None:
        self.failures = 0
        # When it may be asked again, or None while it is there.
        self._ask_again_at: float | None = None

    def do_without(self) -> bool:
        """Whether to do without it. When the time has come to ask again, one caller is told that it is there."""
        if self._ask_again_at is None:
            return False
        if time.monotonic() < self._ask_again_at:
            return True
        self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS
        return False

    def went_away(self) -> None:
        self.failures += 1
        self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS

    def ask_again_now(self) -> None:
        if self._ask_again_at is not None:
            self._ask_again_at = time.monotonic()

    def is_there(self) -> None:
        self._ask_again_at = None


_store = _Store()
