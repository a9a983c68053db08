"""Who may make Redis whole again: one leader at a time, which others replace when it stands still.

The leader holds an advisory lock of PostgreSQL inside a transaction, so the lock goes with its session when it dies. A
leader that is frozen (SIGSTOP, a paused virtual machine) keeps its session. So it also shows life in Redis each
second; whoever waits for the lock in vain and sees no life ends the leader's session. Should that leader wake up, it
cannot do harm: PostgreSQL rolled its transaction back, and Redis refuses writes of an epoch that is no longer the
stored one.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from accounts.fresh import release_connection

from . import clock
from .errors import NotNow, Recovering
from .redis import reaching_redis, run_patiently

logger = logging.getLogger(__name__)

RECOVERY_LOCK = 0x1AFAC701
# How long others wait for the lock. Their calls are answered that the counters are being made whole.
LOCK_SECONDS = 2
# A leader shows life this often, and is taken for frozen after so long without. Much longer than any stretch of its
# work that lets nothing else run.
BEAT_SECONDS = 1.0
FROZEN_SECONDS = 10.0

SIGN_OF_LIFE = "budget:leader"
AT_ONCE = 1000

# A command of Redis, with its arguments.
Command = Sequence[object]


class Leader:
    """The right to write what is rebuilt, for one epoch of Redis's data."""

    def __init__(self, known: dict[str, str], run: str) -> None:
        """Claim a new epoch. Raises `Recovering` when another leader did so since `known` was read."""
        self.epoch = uuid4().hex
        claim = {"known": known.get("epoch", ""), "run": run, "epoch": self.epoch}
        status, found = run_patiently("claim", {**claim, "shift": clock.shift()})
        if status != "ok":
            raise Recovering
        self.now: int = found["now"]

    def write(self, commands: Iterable[Command]) -> None:
        """Raises `Recovering` when another leader took over."""
        waiting = [[str(part) for part in command] for command in commands]
        for start in range(0, len(waiting), AT_ONCE):
            chunk = waiting[start : start + AT_ONCE]
            call = {"epoch": self.epoch, "commands": chunk, "shift": clock.shift()}
            if run_patiently("rebuild", call)[0] != "ok":
                logger.error("Error: another process took over the recovery; this one stops")
                raise Recovering

    @contextmanager
    def showing_life(self) -> Iterator[None]:
        over = threading.Event()
        self._show_life()
        threading.Thread(target=self._show_life_until, args=(over,), name="recovery-leader", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _show_life_until(self, over: threading.Event) -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                self._show_life()
            except NotNow:
                # Redis is away: the leader's own next write notices that too.
                continue

    def _show_life(self) -> None:
        with reaching_redis() as redis:
            redis.set(SIGN_OF_LIFE, self.epoch, px=round(FROZEN_SECONDS * 1000))


@contextmanager
def recovery_lock() -> Iterator[None]:
    """A transaction that holds the lock. Raises `OperationalError` when the lock is not to be had."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECOVERY_LOCK])
                # A day of many million rows takes longer to count than a statement may take otherwise.
                cursor.execute("SET LOCAL statement_timeout = 0")
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            replace_a_frozen_leader()
        raise


def assert_lock_is_held() -> None:
    """Raises `OperationalError` when this session was ended, and with it the transaction that holds the lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def replace_a_frozen_leader() -> None:
    """End the session of a leader that shows no life: its transaction is rolled back, and its locks are free."""
    try:
        with reaching_redis() as redis:
            if redis.exists(SIGN_OF_LIFE):
                return
    except NotNow:
        # Without Redis no leader can show life, and none can do anything.
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND xact_start < now() - make_interval(secs => %s)
            """,
            [RECOVERY_LOCK, FROZEN_SECONDS],
        )
        if cursor.fetchall():
            logger.error("Error: the leader of the recovery stood still and was replaced")
    release_connection()
