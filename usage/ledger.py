"""The ledger is the table plus the stream of rows on their way to it; this reads the two as one.

A row travels as JSON under the names of the table's columns, but for `cost` and `list_cost` (nano-dollars) and
`created_us` (microseconds), which are text because Lua's JSON would round them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from billing.money import nano_nearest

from .clock import zone
from .flights import AttemptKey, TableRow
from .redis import reaching_redis

STREAM = "usage:stream"
READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A row on its way: `moved` is what it did to the counter of `day`, `charged` what it did to the user's (both in
    nano-dollars). `key` None: it cannot be read, and will be dead-lettered, but its money counts."""

    stream_id: str
    day: str
    user_id: int
    moved: int
    charged: int
    key: AttemptKey | None
    estimated: bool = False
    counted: bool = True
    created_us: int = 0

    @classmethod
    def parse(cls, stream_id: str, fields: dict[str, str]) -> "Entry":
        day, user_id, moved = fields.get("day", ""), int(fields.get("user", 0)), int(fields.get("moved", 0))
        # Entries of releases before the payer's amount have no such field: the payer was charged the cost.
        charged = int(fields.get("charge_moved", moved))
        try:
            row: dict[str, Any] = orjson.loads(fields.get("row", ""))
            key = UUID(row["request_id"]), int(row["attempt"])
            created_us = int(row["created_us"])
        except (ValueError, KeyError, TypeError):
            return cls(stream_id, day, user_id, moved, charged, None)
        estimated, counted = bool(row.get("estimated")), bool(row.get("counted", True))
        return cls(stream_id, day, user_id, moved, charged, key, estimated, counted, created_us)


@dataclass(frozen=True, slots=True)
class DayTotal:
    """What the ledger says a day cost, in nano-dollars, and where it was read: a sum that can be carried on exactly."""

    amount: int
    table_mark: str
    read_to: str


def day_total(day: date) -> DayTotal | None:
    """The table up to the drainer's mark plus the stream after it; None when the drainer went by meanwhile."""
    # One statement is one snapshot: the mark and the rows it vouches for belong together.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT last_stream_id FROM usage_ledger_state),
                   (SELECT coalesce(sum(cost_usd), 0) FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s)
            """,
            day_bounds(day),
        )
        found, total = cursor.fetchone()
    mark = found or "0-0"
    amount, read_to = nano_nearest(total), mark
    for batch in pending(mark):
        twice = {entry.stream_id for entry in handed_in_twice(batch)}
        amount += sum(e.moved for e in batch if e.day == day.isoformat() and e.stream_id not in twice)
        read_to = batch[-1].stream_id
    # Rows that reached the table after the snapshot look as if they had been handed in twice.
    return DayTotal(amount, mark, read_to) if drained_to() == mark else None


def drained_to() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_stream_id FROM usage_ledger_state")
        row = cursor.fetchone()
    return str(row[0]) if row else "0-0"


def pending(after: str = "0-0") -> Iterator[list[Entry]]:
    """The rows that the table does not have yet, oldest first, in batches."""
    while True:
        with reaching_redis(patiently=True) as redis:
            found = redis.xrange(STREAM, min=f"({after}", count=READ_AT_ONCE)
        if not found:
            return
        yield [Entry.parse(stream_id, fields) for stream_id, fields in found]
        after = found[-1][0]


def handed_in_twice(entries: Iterable[Entry]) -> list[Entry]:
    """Those that the table has already, and would not take again."""
    readable = [(entry, entry.key) for entry in entries if entry.key is not None]
    known = in_table(key for _, key in readable)
    return [e for e, key in readable if key in known and not known[key].takes(estimated=e.estimated)]


def in_table(keys: Iterable[AttemptKey]) -> dict[AttemptKey, TableRow]:
    """Those of the attempts that have a row in the table."""
    wanted = list(keys)
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT request_id, attempt, estimated, cost_usd, coalesce(charged_usd, cost_usd) FROM llm_usage_logs
            JOIN unnest(%s::uuid[], %s::int[]) AS wanted (request_id, attempt) USING (request_id, attempt)
            """,
            [[request for request, _ in wanted], [attempt for _, attempt in wanted]],
        )
        return {
            (request, attempt): TableRow(estimated, nano_nearest(cost), nano_nearest(charged))
            for request, attempt, estimated, cost, charged in cursor.fetchall()
        }


def day_bounds(day: date) -> tuple[datetime, datetime]:
    return (
        datetime.combine(day, time.min, tzinfo=zone()),
        datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone()),
    )
