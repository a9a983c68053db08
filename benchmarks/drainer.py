"""`make bench-drainer`: how many usage rows a second the drainer moves from Redis to the table.

    python -m benchmarks.drainer [--rows 100000] [--users 1000]

The rows are those of real calls (one attempt settled by the ledger, copied under new ids), and so is the drainer: the
process of `make run`, on a PostgreSQL that commits durably and a Redis with appendfsync always.
"""

import argparse
import os
import subprocess
import sys
import time
from typing import Any
from uuid import uuid4

from iafactory.run import BASE

from . import processes, rig

BATCH = 2000


def begin_the_counters() -> None:
    """As on a product that runs: else the drainer, as the first to come, would count the whole stream meanwhile."""
    from usage.process import Process

    Process().tick()


def fill(rows: int, users: int) -> None:
    """As `settle.lua` leaves them in the stream."""
    import orjson

    from usage.ledger import STREAM
    from usage.redis import patient_client

    redis = patient_client()
    now = time.time_ns() // 1000
    for first in range(0, rows, BATCH):
        with redis.pipeline(transaction=False) as batch:
            for number in range(first, min(rows, first + BATCH)):
                user, cost = number % users + 1, 550_000
                row = orjson.dumps(row_of(user, cost, now + number)).decode()
                batch.xadd(STREAM, {"day": time.strftime("%F"), "user": user, "moved": cost, "row": row})
            batch.execute()


def row_of(user: int, cost: int, created_us: int) -> dict[str, Any]:
    return {
        "request_id": str(uuid4()),
        "user_id": user,
        "tier": "pro",
        "endpoint": "/v1/chat/completions",
        "requested_model": "gpt-4o",
        "streamed": False,
        "client_request_id": "",
        "api_key_id": user,
        "budget_fallback": False,
        "split_turn": None,
        "attempt": 1,
        "provider": "openrouter",
        "model": "openai/gpt-4o",
        "cost": str(cost),
        "created_us": str(created_us),
        "estimated": False,
        "counted": True,
        "tokens_input": 20,
        "tokens_output": 50,
        "list_cost": str(cost),
        "latency_ms": 812,
        "finish_reason": "stop",
        "error_flag": False,
        "error_message": "",
        "fallback_level": 0,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1000)
    asked = parser.parse_args()
    with rig.servers() as running:
        begin_the_counters()
        fill(asked.rows, asked.users)
        began = time.monotonic()
        drainer = subprocess.Popen(
            [sys.executable, "manage.py", "drain_usage", "--skip-checks"], cwd=BASE, env=os.environ.copy()
        )
        running["drainer"] = drainer
        try:
            first, left = wait_until_left(asked.rows - 1)
            before = {name: processes.cpu_seconds([process.pid]) for name, process in running.items()}
            last, _none = wait_until_left(0)
            used = {name: processes.cpu_seconds([running[name].pid]) - spent for name, spent in before.items()}
        finally:
            del running["drainer"]
            processes.end(drainer)
        written = rows_in_the_table()
    moving = last - first
    print(f"{written} of {asked.rows} rows of {asked.users} users in the table")
    print(f"  {left / moving:,.0f} rows/s from the first to the last ({moving:.1f} s; start {first - began:.1f} s)")
    print("  CPU us per row: " + ", ".join(f"{name} {value * 1e6 / left:.1f}" for name, value in used.items()))
    return 0 if written == asked.rows else 1


def wait_until_left(rows: int) -> tuple[float, int]:
    """The moment when no more than so many were left in the stream, and how many were."""
    from usage.ledger import STREAM
    from usage.redis import patient_client

    while (left := patient_client().xlen(STREAM)) > rows:
        time.sleep(0.02)
    return time.monotonic(), left


def rows_in_the_table() -> int:
    from usage.models import UsageLog

    return UsageLog.objects.count()


if __name__ == "__main__":
    raise SystemExit(main())
