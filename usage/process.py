"""This process as the money knows it: what it has under way, what it handed over, and its sign of life.

Redis may come back without its last seconds, or empty. So a process keeps every receipt until the drainer's mark has
passed it, and everything under way, and hands in again what Redis does not know (`recovery`).
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import Error as DatabaseError

from accounts.deadline import TooLate, at_most
from accounts.fresh import release_connection
from accounts.once import Once

from . import clock, recovery
from .errors import Backlogged, NotNow, Recovering
from .flights import Call, End, Flight, Hold, Message, Receipt, cut_short
from .ids import is_after
from .models import GatewayProcess
from .redis import TAKES_HOLDS, reaching_redis, run_script

logger = logging.getLogger(__name__)

# How long a call waits while another of its process attaches to a Redis that came back.
ATTACH_SECONDS = 1.0
# How long attaching, with a recovery in it, may take. A rebuild counts all rows of the day, so this is no more than a
# bound on a PostgreSQL that stands still: a leader that does not get on is replaced long before (`leadership`).
RECOVERY_SECONDS = 1800.0
# Every so many ticks a process says in PostgreSQL that it is there, and looks for what is in its name by mistake.
ROUND_TICKS = 5
# How long a tick may wait for PostgreSQL.
REGISTER_SECONDS = 3.0
# How long a process that leaves waits for the table to have its rows: should Redis lose them, nobody else knows them.
LEAVING_SECONDS = 5.0
# Settlements that Redis did not take yet: with more of them nothing new is admitted.
MOST_UNSETTLED = 10_000
# How long the retries of one tick may take. The tick renews the lease of 20 s, so it must not wait for them for long.
FLUSH_SECONDS = 5.0


class Process:
    def __init__(self) -> None:
        self.id = uuid4().hex
        # The state of Redis that this process has attached to.
        self.epoch = ""
        self.messages: dict[str, Message] = {}
        self.in_flight: dict[str, Flight] = {}
        # Ends on their way to Redis, by the name of their flight: until it confirms one, it may know it or not.
        self.ends: dict[str, End] = {}
        self.receipts: deque[Receipt] = deque()
        # Messages that Redis has to uncount, by their requests.
        self.to_give_back: dict[str, None] = {}
        # Breakers as of the last tick: subject -> JSON of its state, and subject -> failures in a row.
        self.breakers: dict[str, str] = {}
        self.failures: dict[str, int] = {}
        # Which of the ends and messages above their own callers are giving to Redis right now, for the first time.
        self._first_tries: set[str] = set()
        self._flushing = threading.Lock()
        self._attaching = threading.Lock()
        self._attachments = 0
        self._strays: set[str] = set()
        self._ticks = 0
        self._leaving = threading.Event()

    # What other layers want done in each round of the tick, besides the duties of the ledger.
    every_round: ClassVar[list[Callable[[], None]]] = []

    def execute(self, script: str, call: Call) -> tuple[str, dict[str, Any]]:
        """Run a script in this process's name, attached to the Redis that is there. Raises `NotNow`."""
        for _ in range(3):
            attachments, epoch = self._attachments, self.epoch
            status, values = run_script(
                script,
                {
                    "process": self.id,
                    "epoch": epoch,
                    "shift": clock.shift(),
                    "utc_offset": clock.utc_offset(),
                    **call,
                },
            )
            if status == "recovering":
                raise Recovering
            if status != "attach":
                if script in TAKES_HOLDS and (self.epoch != epoch or self._attaching.locked()):
                    # Redis came back between the script and its answer, and what is under way is being handed in
                    # without this: the hold may be gone. Nothing was sent yet; if it is there, it is let go as a stray.
                    raise Recovering
                return status, values
            self._attach(unless_past=attachments)
        raise Recovering

    def admit(self, call: Call) -> tuple[str, dict[str, Any]]:
        if len(self.ends) > MOST_UNSETTLED:
            raise Backlogged
        return self.execute("admit", call)

    # One message

    def opened(self, message: Message) -> None:
        self.messages[message.request_id] = message

    def began(self, flight: Flight) -> None:
        self.in_flight[flight.field] = flight

    def settle(self, flight: Flight, end: End) -> None:
        """End an attempt. An end that Redis does not take is kept and retried: the user's answer does not wait."""
        # Remembered before it is told: should Redis do it and die before it says so, it is not handed in as under way.
        # The flight too: what ends a second time (the truth after an estimate) is no longer there.
        self.in_flight[flight.field] = flight
        self.ends[flight.field] = end
        self._try_first(flight.field, partial(self._tell, flight, end))

    def give_back(self, request_id: str) -> None:
        """Uncount the message of a call that failed."""
        self.to_give_back[request_id] = None
        self._try_first(request_id, partial(self._uncount, request_id))

    def _try_first(self, name: str, tell: Callable[[], None]) -> None:
        """Give it to Redis. Whatever interrupts this (an error, a timeout, the death of the greenlet), the next tick
        finds it among what is kept and retries it. Repeating is safe."""
        self._first_tries.add(name)
        try:
            tell()
        except Exception as error:  # noqa: BLE001 (logged by its kind; the answer of the user does not wait for it)
            log_kept(name, error)
        finally:
            self._first_tries.discard(name)

    def _uncount(self, request_id: str) -> None:
        self.execute("give_back", {"request": request_id})
        self.messages.pop(request_id, None)
        self.to_give_back.pop(request_id, None)

    def _tell(self, flight: Flight, end: End) -> None:
        _status, values = self.execute("settle", end.as_call(flight))
        self._told(flight, end, values)

    def _told(self, flight: Flight, end: End, values: dict[str, Any]) -> None:
        self.ends.pop(flight.field, None)
        self.in_flight.pop(flight.field, None)
        if end.counted:
            self.messages.pop(flight.request_id, None)
        if "id" in values and not end.unsent:
            self.receipts.append(Receipt(values["id"], flight, end))

    # Redis, as it is now

    def _attach(self, *, unless_past: int) -> None:
        # A crowd of calls finds the same restart: one of them attaches, the others wait for it.
        if not self._attaching.acquire(timeout=ATTACH_SECONDS):
            raise Recovering
        try:
            if self._attachments == unless_past:
                with at_most(RECOVERY_SECONDS):
                    recovery.attach(self)
                self._attachments += 1
        except (DatabaseError, TooLate) as error:
            # Without PostgreSQL nobody knows whether this Redis can be trusted.
            raise Recovering from error
        finally:
            self._attaching.release()
            release_connection()

    def handed_in(self, flight: Flight, end: End, values: dict[str, Any]) -> None:
        """An end that Redis had lost, and has again."""
        self._told(flight, end, values)

    # Once a second

    def tick(self) -> None:
        """Renew the lease, settle what dead processes left, read the breakers, and retry what Redis did not take."""
        _status, news = self.execute("tick", {})
        self.breakers = _pairs(news["open"])
        self.failures = {subject: int(count) for subject, count in _pairs(news["failures"]).items()}
        self._forget_receipts(news["mark"])
        if news["swept"]:
            logger.warning("Error: settled what dead processes left", extra={"processes": news["swept"]})
        self._do(self.flush)
        self._ticks += 1
        # Taken for dead for a while, it was struck off the list of those to wait for when Redis comes back.
        makes_its_round = not news["known"] or self._ticks % ROUND_TICKS == 0
        if makes_its_round:
            self._do(self._let_strays_go)
            for duty in self.every_round:
                self._do(duty)
        if makes_its_round or news["swept"]:
            self._do(partial(self._sign_the_register, news["swept"]))

    def _do(self, duty: Callable[[], None]) -> None:
        """A duty that fails does not keep the process from the next one."""
        try:
            duty()
        except NotNow as error:
            logger.warning("Error: a duty of the tick was not done (%s)", type(error).__name__)
        except Exception:
            logger.exception("Error in a duty of the tick")

    def _sign_the_register(self, dead: list[str]) -> None:
        """Last of all, and not for long: while PostgreSQL is away or frozen this process still has to show life."""
        try:
            with at_most(REGISTER_SECONDS):
                recovery.register(self.id)
                recovery.strike_off(dead)
        except (DatabaseError, TooLate) as error:
            logger.warning("Error: the register of processes cannot be reached (%s)", type(error).__name__)

    def flush(self) -> None:
        """Retry what Redis did not take. One that fails goes behind the others and does not hold them back."""
        until = time.monotonic() + FLUSH_SECONDS
        failures: list[Exception] = []
        with self._flushing:
            for retry, put_last in self._kept():
                if time.monotonic() > until:
                    break
                try:
                    retry()
                except Exception as error:  # noqa: BLE001 (logged below)
                    failures.append(error)
                    put_last()
        if failures:
            log_still_kept(failures, len(self.ends) + len(self.to_give_back))

    def _kept(self) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
        """What Redis did not take: how to retry it, and how to put it behind the others."""
        for field, end in list(self.ends.items()):
            flight = self.in_flight.get(field)
            if flight is not None and field not in self._first_tries:
                yield partial(self._tell, flight, end), partial(put_last, self.ends, field)
        for request_id in list(self.to_give_back):
            if request_id not in self._first_tries:
                yield partial(self._uncount, request_id), partial(put_last, self.to_give_back, request_id)

    def _let_strays_go(self) -> None:
        """Holds and messages that Redis has in this name and nobody here knows: from scripts whose answer was lost.

        They go when seen in two rounds. On the line answers come in the order of the questions: by the second round
        what was admitted before the first is known here, or its answer never comes.
        """
        held, open_messages = self.held(), self.open_messages()
        strays = held - self.in_flight.keys() | open_messages - self.messages.keys()
        for name in strays & self._strays:
            if name in held:
                self._let_go(name)
            else:
                self.execute("give_back", {"request": name})
        self._strays = strays

    def _let_go(self, field: str) -> None:
        with reaching_redis() as redis:
            record = redis.hget(f"budget:holds:{self.id}", field)
        if record is not None:
            hold = Hold.parse(self.id, field, record)
            flight = Flight(hold.request_id, hold.attempt, hold.user_id, hold.day, 0, "", "", hold.amount, "{}")
            self.execute("settle", End(unsent=True).as_call(flight))

    def held(self) -> set[str]:
        """The names of the attempts that Redis holds in this process's name. The records of thousands would stop the
        worker while they are parsed."""
        with reaching_redis() as redis:
            return set(redis.hkeys(f"budget:holds:{self.id}"))

    def open_messages(self) -> set[str]:
        """The requests whose messages Redis counts in advance in this process's name."""
        with reaching_redis() as redis:
            return set(redis.hkeys(f"quota:open:{self.id}"))

    # Beginning and end

    def start(self) -> None:
        """Tick in the background: a thread, or a greenlet where gevent rules."""
        threading.Thread(target=self._tick_until_leaving, name="usage-tick", daemon=True).start()
        atexit.register(self.leave)

    def abandon(self) -> None:
        """The end is near, and what is under way will not be seen through: it is settled at its whole hold."""
        for field, flight in list(self.in_flight.items()):
            if field not in self.ends:
                self.settle(flight, cut_short(flight, "shutdown"))

    def leave(self) -> None:
        """A clean end: nothing is left under this name. What still is under way is settled by others after 20 s."""
        if self._leaving.is_set() or not self.epoch:
            return
        self._leaving.set()
        try:
            self.flush()
            self._see_the_rows_off()
            if not self.held():
                with reaching_redis() as redis:
                    redis.zrem("budget:leases", self.id)
                    redis.delete(f"quota:open:{self.id}")
                GatewayProcess.objects.filter(pk=UUID(self.id)).delete()
        except (NotNow, DatabaseError):
            logger.warning("Error: this process could not take its leave; its lease will run out", exc_info=True)

    def _see_the_rows_off(self) -> None:
        until = time.monotonic() + LEAVING_SECONDS
        while self.receipts and time.monotonic() < until:
            with reaching_redis() as redis:
                self._forget_receipts(redis.get("usage:mark") or "0-0")
            time.sleep(0.05)

    def _forget_receipts(self, mark: str) -> None:
        """Those whose rows the table has."""
        while self.receipts and not is_after(self.receipts[0].stream_id, mark):
            self.receipts.popleft()

    def _tick_until_leaving(self) -> None:
        while not self._leaving.wait(settings.USAGE_TICK_SECONDS):
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
    if settings.USAGE_TICK_SECONDS:
        process.start()
    return process


# The one of this operating system process; it begins to tick at first use.
this_process = Once(_begin)
# A forked child is another process: it must not act in its parent's name.
os.register_at_fork(after_in_child=this_process.forget)


def put_last(kept: dict[str, Any], name: str) -> None:
    if name in kept:
        kept[name] = kept.pop(name)


def log_kept(name: str, error: Exception) -> None:
    """`name` is a request's id, or an attempt's."""
    level = logging.WARNING if isinstance(error, NotNow) else logging.ERROR
    logger.log(
        level,
        "Error: the end of an attempt is kept and will be retried (%s)",
        type(error).__name__,
        extra={"request_id": name.partition(":")[0]},
        exc_info=None if isinstance(error, NotNow) else error,
    )


def log_still_kept(failures: Sequence[Exception], kept: int) -> None:
    kinds = ", ".join(sorted({type(error).__name__ for error in failures}))
    surprise = next((error for error in failures if not isinstance(error, NotNow)), None)
    event = "Error: %d settlements failed again (%s); %d are kept"
    logger.warning(event, len(failures), kinds, kept, exc_info=surprise)


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
