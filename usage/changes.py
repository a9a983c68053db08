"""The tokens of `accounts.changes` in Redis: `budget:changes:<user>` and `budget:changes:everyone`."""

import logging
import secrets
import threading
import time
from collections.abc import Collection

from django.conf import settings

from accounts.changes import known
from accounts.fresh import STALE_SECONDS

from .errors import RedisAway
from .redis import line, reaching_redis

logger = logging.getLogger(__name__)

# Longer than anything is remembered that was loaded before the change, also while PostgreSQL is away.
KEPT_SECONDS = 3600
# After a failure Redis is not asked again for so long: requests that can do without it do not each wait for it.
BLIND_SECONDS = 1.0

EVERYONE = "budget:changes:everyone"


def key(user_id: int | None) -> str:
    return EVERYONE if user_id is None else f"budget:changes:{user_id}"


def renew_everyone() -> list[tuple[object, ...]]:
    """Part of a recovery, as commands of Redis: it came back, and may have lost tokens."""
    return [("SET", EVERYONE, secrets.token_hex(8), "EX", KEPT_SECONDS)]


class RedisBoard:
    """Reads and writes tokens. What cannot be written is written as soon as Redis is back: until what processes
    remember is too old to matter."""

    def __init__(self) -> None:
        self._blind_until = 0.0
        # Whether the last attempt failed: an outage is logged when it begins.
        self._is_away = False
        self._unwritten: set[int | None] = set()
        self._lock = threading.Lock()
        self._retrying = False

    def is_blind(self) -> bool:
        return time.monotonic() < self._blind_until

    def read(self, user_id: int | None) -> tuple[str, str] | None:
        try:
            # Over the shared connection: a crowd of requests would wait for the pool's.
            with reaching_redis():
                own, everyone = line().ask("MGET", key(user_id), EVERYONE)
        except RedisAway as error:
            self._failed("read", error)
            return None
        self._is_away = False
        return own or "", everyone or ""

    def write(self, concerned: Collection[int | None]) -> None:
        if not settings.REDIS_URL:
            # A command before the installation is set up: no other process remembers anything.
            return
        with self._lock:
            self._unwritten.update(concerned)
        if not self.is_blind() and self._write_all():
            return
        self._retry_in_the_background()

    def _write_all(self) -> bool:
        """Whether Redis has a new token for each of those that waited."""
        with self._lock:
            waiting, self._unwritten = self._unwritten, set()
        tokens = {user_id: secrets.token_hex(8) for user_id in waiting}
        try:
            with reaching_redis():
                for user_id, token in tokens.items():
                    line().ask("SET", key(user_id), token, "EX", KEPT_SECONDS)
        except RedisAway as error:
            with self._lock:
                self._unwritten |= waiting
            self._failed("written", error)
            return False
        self._is_away = False
        for user_id, token in tokens.items():
            # After the write: a change that another process announced before it is in what is loaded from now on.
            known.learn(user_id, token)
        return True

    def _retry_in_the_background(self) -> None:
        with self._lock:
            if self._retrying:
                return
            self._retrying = True
        threading.Thread(target=self._retry, name="changes-retry", daemon=True).start()

    def _retry(self) -> None:
        until = time.monotonic() + STALE_SECONDS
        while time.monotonic() < until:
            time.sleep(BLIND_SECONDS)
            if self._write_all():
                break
        with self._lock:
            self._retrying = False
        # One that came between the last write and now.
        if self._unwritten and time.monotonic() < until:
            self._retry_in_the_background()

    def _failed(self, what: str, error: RedisAway) -> None:
        self._blind_until = time.monotonic() + BLIND_SECONDS
        if not self._is_away:
            self._is_away = True
            cause = type(error.__cause__ or error).__name__
            logger.warning("Error: changes cannot be %s in Redis (%s); in force within 5 s", what, cause)
