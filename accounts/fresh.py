"""What a process remembers of the truth in PostgreSQL, and for how long.

Fresh for 5 s, so that a change made by plain SQL is in force within 5 s everywhere; what the product itself changes is
announced (see `changes`), and what was loaded before that is not served any more.
While PostgreSQL cannot be asked it is served stale, up to 10 minutes old; after that, or for what was never known,
`StoreAway` is raised. A statement that fails for a reason of its own (a lock, a timeout) concerns its key alone.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, close_old_connections, connections

from . import changes, postgres
from .causes import causes
from .deadline import TooLate, at_most

logger = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
STALE_SECONDS = 600.0
# A question that takes longer was asked of a server that is away, frozen or overrun.
ANSWER_SECONDS = 2.5
# While PostgreSQL is away one caller in this many seconds finds out whether it is back; the others do not wait for it.
# A key whose statement failed is not asked for again during so many seconds either.
ASK_AGAIN_SECONDS = 1.0
MOST_FAILED = 1000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class StoreAway(Exception):
    """PostgreSQL cannot be asked, and nothing usable is remembered."""


@dataclass(slots=True)
class Remembered(Generic[Value]):
    value: Value
    asked_at: float
    # The moment (see `changes`) at which it was asked for, and whose it is; None: everyone's.
    moment: int
    owner: int | None

    @property
    def is_fresh(self) -> bool:
        if time.monotonic() - self.asked_at >= FRESH_SECONDS or self.moment < changes.known.everyone.moment:
            return False
        return self.owner is None or self.moment >= changes.known.of(self.owner).moment

    @property
    def is_usable(self) -> bool:
        """While PostgreSQL cannot be asked. What is known to have changed about a user is not: a key may be revoked."""
        if time.monotonic() - self.asked_at > STALE_SECONDS:
            return False
        return self.owner is None or self.moment >= changes.known.of(self.owner).moment


class Fresh(Generic[Key, Value]):
    """A bounded memory over `load(key)`; one load at a time per key. `owner` tells whose an entry is: the user's id."""

    def __init__(
        self,
        load: Callable[[Key], Value],
        *,
        owner: Callable[[Key, Value], int | None] = lambda _key, _value: None,
        size: int = 50_000,
    ) -> None:
        self._load = load
        self._owner = owner
        self._size = size
        self._entries: dict[Key, Remembered[Value]] = {}
        self._locks = [threading.Lock() for _ in range(64)]
        # Keys whose statement failed although PostgreSQL is there, and when each may be asked for again.
        self._failed: dict[Key, float] = {}

    def get(self, key: Key) -> Value:
        entry = self._entries.get(key)
        if entry is not None and entry.is_fresh:
            return entry.value
        failures = _store.failures
        if self._has_just_failed(key) or _store.do_without():
            return self._stale(key)
        # A crowd of one caller's requests arrives on an expired entry: one of them asks, the others wait for it.
        with _held(self._locks[hash(key) % len(self._locks)]):
            entry = self._entries.get(key)
            if entry is not None and entry.is_fresh:
                return entry.value
            # If it asked in vain, they do not each do so again.
            in_vain = _store.failures != failures or self._has_just_failed(key)
            return self._stale(key) if in_vain else self._ask(key)

    def forget(self, key: Key) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def _ask(self, key: Key) -> Value:
        # The age counts from the question: a change committed while the answer was on its way is not in it.
        asked_at, moment = time.monotonic(), changes.now()
        try:
            with at_most(ANSWER_SECONDS):
                value = self._load(key)
        except (OperationalError, InterfaceError, TooLate) as error:
            # In the middle of a question the connection is of no more use.
            release_connection()
            self._note_failure(key, error)
            return self._stale(key)
        except Exception:
            self._entries.pop(key, None)
            # Refused, perhaps without a question: it did not find out whether PostgreSQL is back.
            _store.ask_again_now()
            raise
        _store.is_there()
        self._failed.pop(key, None)
        self._entries.pop(key, None)
        self._entries[key] = Remembered(value, asked_at, moment, self._owner(key, value))
        if len(self._entries) > self._size:
            self._entries.pop(next(iter(self._entries)), None)
        return value

    def _note_failure(self, key: Key, error: Exception) -> None:
        """Without PostgreSQL the whole process does without it; otherwise this key alone waits for a second."""
        if postgres.is_away(error):
            causes.error(logger, "PostgreSQL is away", error)
            _store.went_away()
            return
        # Not the error's text: it may name what was looked for.
        logger.error("Error: a question to PostgreSQL failed (%s)", type(error.__cause__ or error).__name__)
        _store.is_there()
        if len(self._failed) > MOST_FAILED:
            self._failed.clear()
        self._failed[key] = time.monotonic() + ASK_AGAIN_SECONDS

    def _has_just_failed(self, key: Key) -> bool:
        return bool(self._failed) and time.monotonic() < self._failed.get(key, 0.0)

    def _stale(self, key: Key) -> Value:
        entry = self._entries.get(key)
        if entry is None or not entry.is_usable:
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

    def is_known_away(self) -> bool:
        return self._ask_again_at is not None

    def went_away(self) -> None:
        self.failures += 1
        self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS

    def ask_again_now(self) -> None:
        if self._ask_again_at is not None:
            self._ask_again_at = time.monotonic()

    def is_there(self) -> None:
        self._ask_again_at = None


_store = _Store()


def is_away() -> bool:
    """Whether PostgreSQL was away when this process last asked it."""
    return _store.is_known_away()
