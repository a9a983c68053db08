"""This process as the money knows it: what it has under way, what it handed over, and its sign of life.

Redis may come back without its last seconds, or empty. So a process keeps every receipt until the drainer's mark has
passed it, and everything under way, and hands in again what Redis does not know (`recovery`).
"""

import atexit
import logging
import os
import threading
from collections import deque
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import Error as DatabaseError

from accounts.fresh import release_connection
from accounts.once import Once

from . import clock, recovery
from .errors import NotNow, Recovering
from .flights import Call, End, Flight, Receipt
from .ids import is_after
from .models import GatewayProcess
from .redis import reaching_redis, run_script

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
# How long a call waits while another of its process attaches to a Redis that came back.
ATTACH_SECONDS = 1.0
# A hold that nobody here knows of comes from a script whose answer was lost. It is let go when seen at two checks
# this many ticks apart, which is longer than any answer can be on its way.
STRAY_TICKS = 5


class Process:
    def __init__(self) -> None:
        self.id = uuid4().hex
        self.run = ""
        self.in_flight: dict[str, Flight] = {}
        self.receipts: deque[Receipt] = deque()
        # Ends and give-backs that Redis could not be told yet.
        self.outbox: deque[tuple[str, Call, Flight | None, End | None]] = deque()
        # Breakers as of the last tick: subject -> JSON of its state, and subject -> failures in a row.
        self.breakers: dict[str, str] = {}
        self.failures: dict[str, int] = {}
        self._attaching = threading.Lock()
        self._attachments = 0
        self._strays: set[str] = set()
        self._ticks = 0
        self._leaving = threading.Event()

    def execute(self, script: str, call: Call) -> tuple[str, dict[str, Any]]:
        """Run a script in this process's name, attached to the Redis that is there. Raises `NotNow`."""
        for _ in range(3):
            attachments = self._attachments
            status, values = run_script(
                script,
                {"process": self.id, "run": self.run, "shift": clock.shift(), "utc_offset": clock.utc_offset(), **call},
            )
            if status == "recovering":
                raise Recovering
            if status != "attach":
                return status, values
            self._attach(unless_past=attachments)
        raise Recovering

    def settle(self, flight: Flight, end: End) -> None:
        """End an attempt. When Redis cannot be told it is kept, and told later: the user's answer does not wait."""
        call = end.as_call(flight)
        try:
            self._settle(flight, end, call)
        except NotNow:
            logger.warning(
                "Error: Redis is away; the end of an attempt is kept", extra={"request_id": flight.request_id}
            )
            self.outbox.append(("settle", call, flight, end))

    def give_back(self, *, request_id: str, user_id: int, day: str) -> None:
        """Uncount the message of a call that failed."""
        call = {"request": request_id, "user": user_id, "day": day}
        try:
            self.execute("give_back", call)
        except NotNow:
            self.outbox.append(("give_back", call, None, None))

    def _settle(self, flight: Flight, end: End, call: Call) -> None:
        _status, values = self.execute("settle", call)
        self.in_flight.pop(flight.field, None)
        if end.row:
            self.receipts.append(Receipt(values["id"], flight, end))

    def _attach(self, *, unless_past: int) -> None:
        # A crowd of calls finds the same restart: one of them attaches, the others wait for it.
        if not self._attaching.acquire(timeout=ATTACH_SECONDS):
            raise Recovering
        try:
            if self._attachments == unless_past:
                recovery.attach(self)
                self._attachments += 1
        except DatabaseError as error:
            # Without PostgreSQL nobody knows whether this Redis can be trusted.
            raise Recovering from error
        finally:
            self._attaching.release()

    # Once a second

    def tick(self) -> None:
        """Show life, settle what dead processes left, hear of breakers, and tell Redis what it could not be told."""
        _status, news = self.execute("tick", {})
        self.breakers = _pairs(news["open"])
        self.failures = {subject: int(count) for subject, count in _pairs(news["failures"]).items()}
        while self.receipts and not is_after(self.receipts[0].stream_id, news["mark"]):
            self.receipts.popleft()
        if news["swept"]:
            logger.warning("Error: settled what dead processes left", extra={"processes": news["swept"]})
            GatewayProcess.objects.filter(id__in=[UUID(process) for process in news["swept"]]).delete()
        self.flush()
        self._ticks += 1
        if self._ticks % STRAY_TICKS == 0:
            self._let_strays_go()

    def flush(self) -> None:
        """Tell Redis what it could not be told; stops at the first that it still cannot."""
        while self.outbox:
            script, call, flight, end = self.outbox[0]
            if flight is not None and end is not None:
                self._settle(flight, end, call)
            else:
                self.execute(script, call)
            self.outbox.popleft()

    def _let_strays_go(self) -> None:
        here = set(self.in_flight)
        strays = {field for field in self.holds() if field not in here}
        for field in strays & self._strays:
            request_id, attempt = field.split(":")
            with reaching_redis() as redis:
                record = redis.hget(f"budget:holds:{self.id}", field)
            if record is None:
                continue
            _hold, user_id, day, *_rest = record.split(" ", 3)
            call = {"request": request_id, "attempt": int(attempt), "user": int(user_id), "day": day}
            self.execute("settle", {**call, "cost": 0, "row": "", "estimated": False, "counted": False, "lost": False})
            if attempt == "1":
                self.give_back(request_id=request_id, user_id=int(user_id), day=day)
        self._strays = strays

    def holds(self) -> set[str]:
        """The attempts that Redis holds in this process's name."""
        with reaching_redis() as redis:
            return set(redis.hkeys(f"budget:holds:{self.id}"))

    # Beginning and end

    def start(self) -> None:
        """Tick in the background: a thread, or a greenlet where gevent rules."""
        threading.Thread(target=self._tick_until_leaving, name="usage-tick", daemon=True).start()
        atexit.register(self.leave)

    def leave(self) -> None:
        """A clean end: nothing is left under this name. What still is under way is settled by others after 20 s."""
        if self._leaving.is_set() or not self.run:
            return
        self._leaving.set()
        try:
            self.flush()
            if not self.holds():
                with reaching_redis() as redis:
                    redis.zrem("budget:leases", self.id)
                GatewayProcess.objects.filter(pk=UUID(self.id)).delete()
        except (NotNow, DatabaseError):
            logger.warning("Error: this process could not take its leave; its lease will run out", exc_info=True)

    def _tick_until_leaving(self) -> None:
        while not self._leaving.wait(TICK_SECONDS):
            try:
                self.tick()
            except NotNow:
                continue
            except Exception:
                # This thread is the process's sign of life: it must outlive every surprise, and tell of it.
                logger.exception("Error in the tick of the ledger")
            finally:
                release_connection()


def _begin() -> Process:
    process = Process()
    if settings.USAGE_TICKS:
        process.start()
    return process


# The one of this operating system process; it begins to tick at first use.
this_process = Once(_begin)
# A forked child is another process: it must not act in its parent's name.
os.register_at_fork(after_in_child=this_process.forget)


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
