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
from .redis import reaching_redis

STREAM = "usage:stream"
READ_AT_ONCE = 1000

# One attempt, as the table's unique constraint knows it: the request and the number of the attempt.
AttemptKey = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row on its way; `moved` is what it did to the counter of `day`, in nano-dollars."""

    stream_id: str
    day: str
    user_id: int
    moved: int
    row: dict[str, Any]

    @classmethod
    def parse(cls, stream_id: str, fields: dict[str, str]) -> "Entry":
        return cls(stream_id, fields["day"], int(fields["user"]), int(fields["moved"]), orjson.loads(fields["row"]))

    @property
    def key(self) -> AttemptKey:
        return UUID(self.row["request_id"]), int(self.row["attempt"])


@dataclass(frozen=True, slots=True)
class DayTotal:
    """What the ledger says a day cost, in nano-dollars, and where it was read: a sum that can be carried on exactly."""

    amount: int
    table_mark: str
    read_to: str


def day_total(day: date) -> DayTotal:
    """The table up to the drainer's mark plus the stream after it."""
    # One statement is one snapshot: the mark and the rows it vouches for belong together.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT last_stream_id FROM usage_ledger_state),
                   (SELECT coalesce(sum(cost_usd), 0) FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s)
            """,
            day_bounds(day),
        )
        mark, total = cursor.fetchone()
    amount, read_to = nano_nearest(total), mark or "0-0"
    for batch in pending(read_to):
        handed_twice = superseded(batch)
        amount += sum(e.moved for e in batch if e.day == day.isoformat() and e.stream_id not in handed_twice)
        read_to = batch[-1].stream_id
    return DayTotal(amount, mark or "0-0", read_to)


def pending(after: str) -> Iterator[list[Entry]]:
    """The rows that the table does not have yet, oldest first, in batches."""
    while True:
        with reaching_redis() as redis:
            found = redis.xrange(STREAM, min=f"({after}", count=READ_AT_ONCE)
        if not found:
            return
        yield [Entry.parse(stream_id, fields) for stream_id, fields in found]
        after = found[-1][0]


def superseded(entries: Iterable[Entry]) -> set[str]:
    """Stream ids of the entries that the table has already: handed in twice after Redis came back."""
    entries = list(entries)
    known = attempts_in_table(entry.key for entry in entries)
    return {
        entry.stream_id
        for entry in entries
        # An estimate in the table still waits for the true usage, and only for that.
        if entry.key in known and (not known[entry.key] or entry.row.get("estimated"))
    }


def attempts_in_table(keys: Iterable[AttemptKey]) -> dict[AttemptKey, bool]:
    """Those of the attempts that have a row in the table, and whether that row is an estimate."""
    wanted = list(keys)
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT request_id, attempt, estimated FROM llm_usage_logs
            JOIN unnest(%s::uuid[], %s::int[]) AS wanted (request_id, attempt) USING (request_id, attempt)
            """,
            [[request for request, _ in wanted], [attempt for _, attempt in wanted]],
        )
        return {(request, attempt): estimated for request, attempt, estimated in cursor.fetchall()}


def day_bounds(day: date) -> tuple[datetime, datetime]:
    return (
        datetime.combine(day, time.min, tzinfo=zone()),
        datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone()),
    )
