"""Which Redis is trusted, and how one that lost something is made whole again.

Every script asks the server for its `run_id`, so a restart is noticed by the first call after it, in each process.
That process attaches:

1. One leader (an advisory lock in PostgreSQL) compares the data set with the one that PostgreSQL trusts and with how
   far the table has the stream. Older, other or empty: the counters are built anew from the ledger (`rebuilding`).
2. Each process hands in what this Redis does not know: what it has under way, and receipts that are in neither the
   stream nor the table.
3. The paid route opens when every registered process has done so, or has been silent for a whole lease.

On the first start of all there is nobody to wait for, and it opens at once.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.db import connection, transaction

from . import clock
from .flights import Receipt
from .ids import is_after
from .ledger import STREAM, attempts_in_table, pending
from .models import GatewayProcess, LedgerState
from .rebuilding import rebuild_counters
from .redis import reaching_redis

if TYPE_CHECKING:
    from .process import Process

logger = logging.getLogger(__name__)

RECOVERY_LOCK = 0x1AFAC701


def attach(process: Process) -> None:
    """Join the Redis that is there now, making it whole first if nobody has."""
    with reaching_redis() as redis:
        run = redis.info("server")["run_id"]
        known = redis.hgetall("budget:redis")
    GatewayProcess.objects.get_or_create(
        pk=UUID(process.id), defaults={"host": socket.gethostname()[:128], "pid": os.getpid()}
    )
    if known.get("run") != run or known.get("state") not in ("confirming", "open"):
        recover(run)
    # The process takes on the new run last: an end told to Redis before its hold is back there would be lost.
    hand_in(process, run)
    process.execute("attest", {"run": run})
    process.run = run


def recover(run: str) -> None:
    """Bring the counters of this run of Redis to the state `confirming` (or `open`, with nobody to wait for)."""
    with transaction.atomic(), connection.cursor() as cursor:
        # One leader at a time; if it dies the lock goes with its session and the next one begins again.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECOVERY_LOCK])
        with reaching_redis() as redis:
            known = redis.hgetall("budget:redis")
            if known.get("run") == run and known.get("state") in ("confirming", "open"):
                return
            now = redis_clock()
            # From here on every script of everyone else answers `recovering`.
            redis.hset("budget:redis", mapping={"run": run, "state": "rebuilding", "since": now})
        LedgerState.objects.get_or_create(pk=LedgerState.ONLY)
        # Locked: the drainer does not move rows from the stream to the table while they are being counted.
        ledger = LedgerState.objects.select_for_update().get(pk=LedgerState.ONLY)
        if is_whole(known, ledger):
            logger.info("Redis restarted with its data; waiting for every process to confirm")
        else:
            first = ledger.dataset is None
            logger.log(
                logging.INFO if first else logging.ERROR,
                "Budget counters begun" if first else "Error: Redis came back without all its data; Budget rebuilt",
            )
            rebuild_counters(ledger.last_stream_id, now)
            ledger.dataset = uuid4()
            ledger.save(update_fields=["dataset"])
        open_or_confirm(str(ledger.dataset), now)


def is_whole(known: dict[str, str], ledger: LedgerState) -> bool:
    """The trusted data set, and not older than what the table already has of its stream.

    What it may lack beyond that is known to the processes, which hand it in.
    """
    if ledger.dataset is None or known.get("dataset") != str(ledger.dataset):
        return False
    return not is_after(ledger.last_stream_id, last_generated_id())


def open_or_confirm(dataset: str, now: int) -> None:
    expected = [process.hex for process in GatewayProcess.objects.values_list("pk", flat=True)]
    with reaching_redis() as redis, redis.pipeline() as batch:
        batch.delete("budget:expected")
        if expected:
            batch.sadd("budget:expected", *expected)
        state = "confirming" if expected else "open"
        batch.hset("budget:redis", mapping={"dataset": dataset, "state": state, "since": now})
        batch.execute()


def hand_in(process: Process, run: str) -> None:
    """Tell a Redis that came back what this process knows and it does not."""
    held = process.holds()
    for flight in list(process.in_flight.values()):
        if flight.field not in held:
            process.execute("hand_in", {**flight.as_call(), "run": run})
    for receipt in lost_receipts(process):
        call = receipt.end.as_call(receipt.flight, lost=True)
        _status, values = process.execute("settle", {**call, "run": run})
        process.receipts.append(Receipt(values["id"], receipt.flight, receipt.end))


def lost_receipts(process: Process) -> list[Receipt]:
    """Receipts in neither the stream nor the table. Asked in this order: a row goes from the one to the other."""
    kept = list(process.receipts)
    if not kept:
        return []
    on_the_way = {entry.key for batch in pending("0-0") for entry in batch}
    missing = [receipt for receipt in kept if receipt.flight.key not in on_the_way]
    written = attempts_in_table(receipt.flight.key for receipt in missing)
    return [receipt for receipt in missing if receipt.flight.key not in written]


def redis_clock() -> int:
    """Microseconds since the epoch as the scripts see them."""
    with reaching_redis() as redis:
        seconds, microseconds = redis.time()
    return int(seconds) * clock.SECOND + int(microseconds) + clock.shift()


def last_generated_id() -> str:
    with reaching_redis() as redis:
        return str(redis.xinfo_stream(STREAM)["last-generated-id"]) if redis.exists(STREAM) else "0-0"
