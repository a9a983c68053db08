"""Which Redis is trusted, and how one that lost something is made whole again.

Every script compares the server's `run_id` and the epoch of its data with what its process attached to, so a restart
or a flush is noticed by the first call after it, in each process. That process attaches:

1. One leader (see `leadership`) writes a new epoch, so that every process has to attach, and compares the data set with
   the one that PostgreSQL trusts and with how far the table has the stream. Older, other or empty: the counters are
   built anew from the ledger.
2. Each process hands in what this Redis does not know: open messages, attempts under way, and ends that are in neither
   the stream nor the table. Thus it does not matter how Redis writes its file: what is missing in it that anybody
   knew comes back.
3. The paid route opens when every registered process has done so, or has been silent for a whole lease.

On the first start of all there is nobody to wait for, and it opens at once.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.utils import timezone

from accounts.deadline import at_most

from .changes import renew_everyone
from .flights import End, Flight, TableRow
from .ids import is_after
from .leadership import Command, Leader, assert_lock_is_held, recovery_lock
from .ledger import STREAM, in_table, pending
from .models import GatewayProcess, LedgerState
from .rebuilding import rebuild_bans, rebuild_counters, requests_counted
from .redis import reaching_redis

if TYPE_CHECKING:
    from .process import Process

logger = logging.getLogger(__name__)

TRUSTED = ("confirming", "open")
# How long a step may take that counts no rows: PostgreSQL may be frozen.
STEP_SECONDS = 30.0
# A process of the register that has no lease for so long is not one that is only just joining.
FORGOTTEN_SECONDS = 300


def attach(process: Process) -> None:
    """Join the Redis that is there now, making it whole first if nobody has."""
    with at_most(STEP_SECONDS):
        register(process.id)
        epoch = trusted_epoch()
    # How long this takes grows with the rows of the day.
    epoch = epoch or recover()
    with at_most(STEP_SECONDS):
        hand_in(process, epoch)
        process.execute("attest", {"epoch": epoch})
    # The process takes on the new epoch last: an end told to Redis before its hold is back there would be lost.
    process.epoch = epoch


def register(process_id: str) -> None:
    """Say in PostgreSQL that this process may hold money: whoever comes back will wait for it."""
    GatewayProcess.objects.get_or_create(
        pk=UUID(process_id), defaults={"host": socket.gethostname()[:128], "pid": os.getpid()}
    )


def strike_off(dead: Iterable[str]) -> None:
    """Forget processes whose holds were settled: those named, and any that has had no lease for long, because the one
    that settled its holds died before it could say so. A recovery would wait for each of them."""
    GatewayProcess.objects.filter(pk__in=[UUID(process) for process in dead]).delete()
    with reaching_redis() as redis:
        alive = {UUID(process) for process in redis.zrange("budget:leases", 0, -1)}
        is_open = redis.hget("budget:redis", "state") == "open"
    if is_open:
        long_ago = timezone.now() - timedelta(seconds=FORGOTTEN_SECONDS)
        GatewayProcess.objects.filter(started_at__lt=long_ago).exclude(pk__in=alive).delete()


def trusted_epoch() -> str | None:
    """The epoch of the data set, if it was made trustworthy in this run of the server."""
    with reaching_redis() as redis:
        run = redis.info("server")["run_id"]
        known = redis.hgetall("budget:redis")
    if known.get("run") == run and known.get("state") in TRUSTED and known.get("epoch"):
        return str(known["epoch"])
    return None


def recover() -> str:
    """Bring this Redis to the state `confirming` (or `open`, with no process to wait for); its new epoch."""
    with recovery_lock():
        if epoch := trusted_epoch():
            return epoch
        with reaching_redis(patiently=True) as redis:
            known, run = redis.hgetall("budget:redis"), redis.info("server")["run_id"]
        # Still ours? Who stood still before it read `known` finds its session ended; who stands still after it finds
        # that the claim of what it read is refused.
        assert_lock_is_held()
        leader = Leader(known, run)
        with leader.showing_life():
            rebuild(leader, known)
    return leader.epoch


def rebuild(leader: Leader, known: dict[str, str]) -> None:
    LedgerState.objects.get_or_create(pk=LedgerState.ONLY)
    # Locked: the drainer does not read or move rows while they are being counted.
    ledger = LedgerState.objects.select_for_update().get(pk=LedgerState.ONLY)
    if ledger.dataset is not None:
        # Not the first start: announcements of the last seconds may be lost, so each process loads anew.
        leader.write(renew_everyone())
    if is_whole(known, ledger):
        logger.info("Redis restarted with its data; waiting for every process to confirm")
    else:
        first = ledger.dataset is None
        logger.log(
            logging.INFO if first else logging.ERROR,
            "Budget counters begun" if first else "Error: Redis came back without all its data; Budget rebuilt",
        )
        # Should this leader fail half-way, the next one must not take the data set for the trusted one: rebuilding
        # moves the stream's last id up to the table's mark, and by that alone an older data set would look whole.
        leader.write([("HDEL", "budget:redis", "dataset")])
        rebuild_counters(leader, ledger.last_stream_id)
        ledger.dataset = uuid4()
        ledger.save(update_fields=["dataset"])
    rebuild_bans(leader)
    leader.write(open_or_confirm(str(ledger.dataset), leader.now))


def is_whole(known: dict[str, str], ledger: LedgerState) -> bool:
    """The trusted data set, and not older than what the table already has of its stream."""
    if ledger.dataset is None or known.get("dataset") != str(ledger.dataset):
        return False
    return not is_after(ledger.last_stream_id, last_generated_id())


def open_or_confirm(dataset: str, now: int) -> list[Command]:
    """The last writes of a leader: after them the scripts serve, on free routes until every process has confirmed."""
    expected = [process.hex for process in GatewayProcess.objects.values_list("pk", flat=True)]
    commands: list[Command] = [("DEL", "budget:expected")]
    for process in expected:
        commands.append(("SADD", "budget:expected", process))
        # One that died unseen has no lease here; with one it is swept like the others, and struck off the list.
        commands.append(("ZADD", "budget:leases", "NX", now, process))
    state = "confirming" if expected else "open"
    return [*commands, ("HSET", "budget:redis", "dataset", dataset, "state", state, "since", now)]


def hand_in(process: Process, epoch: str) -> None:
    """Tell a Redis that came back what this process knows and it does not."""
    flights = [flight for field, flight in process.in_flight.items() if field not in process.ends]
    # What has an end is not under way, even if nobody knows whether Redis took that end: it is told again below.
    answered = {field.partition(":")[0] for field, end in process.ends.items() if end.counted}
    messages = [message for request_id, message in process.messages.items() if request_id not in answered]
    # Of a process that was taken for dead the ledger has what nobody thought to see through.
    written = in_table(flight.key for flight in flights)
    counted = requests_counted(UUID(message.request_id) for message in messages)
    process.execute(
        "hand_in",
        {
            "epoch": epoch,
            "messages": [m.as_call(counted=UUID(m.request_id) in counted) for m in messages],
            "flights": [f.as_call(in_table=written.get(f.key)) for f in flights],
        },
    )
    for flight, end, known in ends_to_tell_again(process):
        call = end.as_call(flight, lost=True, in_table=known)
        _status, values = process.execute("settle", {**call, "epoch": epoch})
        process.handed_in(flight, end, values)


def ends_to_tell_again(process: Process) -> list[tuple[Flight, End, TableRow | None]]:
    """Ends whose row is in neither the stream nor the table, with the estimate that the table has of it.

    Receipts, and ends of which nobody knows whether Redis took them. The stream is asked before the table: a row goes
    from the one to the other.
    """
    on_their_way = [(process.in_flight[f], e) for f, e in list(process.ends.items()) if f in process.in_flight]
    kept = [(receipt.flight, receipt.end) for receipt in list(process.receipts)] + on_their_way
    if not kept:
        return []
    streamed = {(entry.key, entry.estimated) for batch in pending() for entry in batch}
    missing = [(flight, end) for flight, end in kept if (flight.key, end.estimated) not in streamed]
    written = in_table(flight.key for flight, _ in missing)
    found = [(flight, end, written.get(flight.key)) for flight, end in missing]
    return [(flight, end, row) for flight, end, row in found if row is None or row.takes(estimated=end.estimated)]


def last_generated_id() -> str:
    with reaching_redis() as redis:
        return str(redis.xinfo_stream(STREAM)["last-generated-id"]) if redis.exists(STREAM) else "0-0"
