"""Sums of the usage table per hour and per day, so that a month is read in milliseconds.

They are exact because they cannot be anything else: a trigger of the table (migration `usage/0003`) appends what a
statement changed, in that statement's transaction. Whoever writes (the drainer, a true usage that replaces an
estimate, an operator's SQL, late or deleted rows) writes both or neither; there is no mark to run ahead of a row that
commits late. Writers only append. If they counted up one shared row instead, an operator's open transaction would
hold up the drainer, and with it the platform.

What is appended is folded into one row per key every minute, which changes no sum: reading never depends on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import connection, transaction

from .ledger import day_bounds

FOLDER_LOCK = 0x1AFAC703
# How long a rebuild waits for an open transaction that has written usage rows; everyone else queues behind it.
LOCK_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Rollup:
    """A table of sums. `keys` and `sums` say how a column follows from a usage row; the first key is its time."""

    table: str
    keys: dict[str, str]
    sums: dict[str, str]
    where: str = "true"

    @property
    def columns(self) -> str:
        return ", ".join([*self.keys, *self.sums])

    @property
    def time(self) -> str:
        return next(iter(self.keys))

    @property
    def group(self) -> str:
        return ", ".join(str(n + 1) for n in range(len(self.keys)))

    @property
    def recount(self) -> str:
        """What the usage rows between two instants say."""
        sums = ", ".join(f"sum({expression})" for expression in self.sums.values())
        return f"""
            SELECT {", ".join(self.keys.values())}, {sums} FROM llm_usage_logs
            WHERE created_at >= %s AND created_at < %s AND {self.where} GROUP BY {self.group}
        """

    @property
    def stored(self) -> str:
        """What is kept for a day."""
        sums = ", ".join(f"sum({column})" for column in self.sums)
        return f"""
            SELECT {", ".join(self.keys)}, {sums} FROM {self.table}
            WHERE {self.time} >= %s AND {self.time} < %s GROUP BY {self.group}
            HAVING {" OR ".join(f"sum({column}) <> 0" for column in self.sums)}
        """

    def bounds(self, day: date) -> tuple[date, date]:
        return (day, day + timedelta(days=1)) if self.time == "day" else day_bounds(day)


HOUR = "date_trunc('hour', created_at, 'Africa/Algiers')"
DAY = "(created_at AT TIME ZONE 'Africa/Algiers')::date"
ROLLUPS = (
    Rollup(
        "usage_rollup_hours",
        {
            "hour": HOUR,
            "provider": "provider",
            "model": "model",
            "tier": "tier",
        },
        {
            "calls": "1",
            "errors": "error_flag::int",
            "tokens_input": "tokens_input",
            "tokens_output": "tokens_output",
            "cost_usd": "cost_usd",
            "list_cost_usd": "list_cost_usd",
            "latency_ms": "latency_ms",
        },
    ),
    Rollup(
        "usage_rollup_user_days",
        {"day": DAY, "user_id": "user_id", "tier": "tier"},
        {
            "calls": "1",
            "errors": "error_flag::int",
            "tokens": "tokens_input::bigint + tokens_output",
            "cost_usd": "cost_usd",
        },
    ),
    Rollup(
        "usage_rollup_latencies",
        {
            "day": DAY,
            "provider": "provider",
            "bucket": "CASE WHEN latency_ms > 1 THEN ceil(ln(latency_ms::float8) / ln(1.1::float8)) ELSE 0 END::int",
        },
        {"calls": "1"},
        where="NOT error_flag",
    ),
)


def fold() -> int:
    """Make one row of what was appended per key; how many rows fewer there are. No sum changes."""
    fewer = 0
    for rollup in ROLLUPS:
        with transaction.atomic(), connection.cursor() as cursor:
            if not _folder_is_me():
                return fewer
            cursor.execute(_fold(rollup))
            gone, left = cursor.fetchone()
            fewer += gone - left
    return fewer


def _fold(rollup: Rollup) -> str:
    """One statement, so one snapshot: a reader sees all of the old rows or all of the new ones."""
    keys, sums = ", ".join(rollup.keys), ", ".join(f"sum({column})" for column in rollup.sums)
    same = " AND ".join(f"old.{key} = fresh.{key}" for key in rollup.keys)
    return f"""
        WITH fresh AS MATERIALIZED (SELECT DISTINCT {keys} FROM {rollup.table} WHERE NOT folded),
        gone AS (DELETE FROM {rollup.table} AS old USING fresh WHERE {same} RETURNING old.*),
        put AS (
            INSERT INTO {rollup.table} ({rollup.columns}, folded)
            SELECT {keys}, {sums}, true FROM gone GROUP BY {rollup.group} RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM put)
    """


def _folder_is_me() -> bool:
    """Two at once would wait for each other's rows; the next minute will do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [FOLDER_LOCK])
        return bool(cursor.fetchone()[0])


def days_there_are() -> Iterator[date]:
    """Every day with usage rows or sums, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT min(day), max(day) FROM (
                SELECT {DAY} AS day FROM (SELECT min(created_at) AS created_at FROM llm_usage_logs) AS first
                UNION ALL SELECT {DAY} FROM (SELECT max(created_at) AS created_at FROM llm_usage_logs) AS last
                UNION ALL SELECT min(day) FROM usage_rollup_user_days
                UNION ALL SELECT max(day) FROM usage_rollup_user_days
            ) AS days
            """
        )
        first, last = cursor.fetchone()
    while first is not None and first <= last:
        yield first
        first += timedelta(days=1)


def rebuild(day: date, *, dry_run: bool = False) -> int:
    """Recount a day; how many of its sums were wrong, missing or too many (and, but in a dry run, no longer are).

    No usage row may be written between the recount and what replaces the sums: writers wait for a moment.
    """
    wrong = 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        cursor.execute("LOCK TABLE llm_usage_logs IN SHARE MODE")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FOLDER_LOCK])
        for rollup in ROLLUPS:
            stored, counted = list(rollup.bounds(day)), list(day_bounds(day))
            cursor.execute(
                f"""
                WITH stored AS ({rollup.stored}), counted AS ({rollup.recount})
                SELECT (SELECT count(*) FROM (TABLE stored EXCEPT TABLE counted) AS extra),
                       (SELECT count(*) FROM (TABLE counted EXCEPT TABLE stored) AS missing)
                """,
                [*stored, *counted],
            )
            extra, missing = cursor.fetchone()
            if (extra or missing) and not dry_run:
                cursor.execute(f"DELETE FROM {rollup.table} WHERE {rollup.time} >= %s AND {rollup.time} < %s", stored)
                cursor.execute(
                    f"INSERT INTO {rollup.table} ({rollup.columns}, folded) "
                    f"SELECT counted.*, true FROM ({rollup.recount}) AS counted",
                    counted,
                )
            wrong += max(extra, missing)
    return wrong
