"""The drainer: rows leave the stream for the table, at least once, so exactly once in effect.

One drainer at a time (an advisory lock). Rows and the id of the last of them are committed together; only then is the
stream trimmed behind that id. A row that the table refuses is dead-lettered: kept for a person, in nobody's way.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from .ids import following
from .leadership import replace_a_frozen_leader
from .ledger import STREAM
from .models import DeadLetter, LedgerState
from .redis import reaching_redis, run_script

logger = logging.getLogger(__name__)

# What a malformed row raises on its way into the table.
MALFORMED = (DatabaseError, ValueError, KeyError, TypeError)

# What the table says of a row whose money alone could be read.
UNREADABLE = {"provider": "unknown", "model": "unknown", "error_flag": True, "error_message": "dead_letter"}

DRAINER_LOCK = 0x1AFAC702
BATCH = 2000
# How long it waits for the ledger's row, and how long PostgreSQL lets a drainer do nothing in its transaction: one that
# is frozen (SIGSTOP) would keep a recovery from that row.
LOCK_SECONDS = 5
FROZEN_SECONDS = 30

# An estimate gives way to the true usage of the same attempt, once; anything else that is there already stays.
INSERT = """
    INSERT INTO llm_usage_logs AS known (
        request_id, attempt, user_id, tier, provider, model, requested_model, tokens_input, tokens_output, cost_usd,
        charged_usd, list_cost_usd, latency_ms, endpoint, streamed, finish_reason, error_flag, error_message,
        estimated, counted, fallback_level, budget_fallback, split_turn, client_request_id, api_key_id, created_at
    )
    SELECT
        request_id, attempt, user_id, coalesce(tier, ''), provider, model, coalesce(requested_model, ''),
        coalesce(tokens_input, 0), coalesce(tokens_output, 0), cost / 1000000000, coalesce(charged, cost) / 1000000000,
        coalesce(list_cost, 0) / 1000000000, coalesce(latency_ms, 0), coalesce(endpoint, ''), coalesce(streamed, false),
        coalesce(finish_reason, ''), coalesce(error_flag, false), coalesce(error_message, ''),
        coalesce(estimated, false), coalesce(counted, true), coalesce(fallback_level, 0),
        coalesce(budget_fallback, false), split_turn, coalesce(client_request_id, ''), api_key_id,
        timestamptz 'epoch' + created_us * interval '1 microsecond'
    FROM json_to_recordset(%s) AS row (
        request_id uuid, attempt int, user_id bigint, tier text, provider text, model text, requested_model text,
        tokens_input int, tokens_output int, cost numeric, charged numeric, list_cost numeric, latency_ms int,
        endpoint text, streamed bool, finish_reason text, error_flag bool, error_message text, estimated bool,
        counted bool, fallback_level int, budget_fallback bool, split_turn int, client_request_id text,
        api_key_id bigint, created_us bigint
    )
    ON CONFLICT (request_id, attempt) DO UPDATE SET
        tokens_input = excluded.tokens_input, tokens_output = excluded.tokens_output, cost_usd = excluded.cost_usd,
        charged_usd = excluded.charged_usd,
        list_cost_usd = excluded.list_cost_usd, latency_ms = excluded.latency_ms,
        finish_reason = excluded.finish_reason, error_flag = excluded.error_flag,
        error_message = excluded.error_message, estimated = false, counted = excluded.counted
    WHERE known.estimated AND NOT excluded.estimated
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """A row on its way, unopened. `charged` is the payer's amount, which only the script knows for certain; None in
    entries of releases before it."""

    stream_id: str
    text: str
    charged: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    rows: int
    mark: str


def drain() -> int:
    """Move one batch; how many rows left the stream."""
    if nothing_waits():
        return 0
    try:
        found = move_a_batch()
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            # The leader of a recovery has the row. If it stands still, nothing would ever be written again.
            replace_a_frozen_leader()
        raise
    if found is None:
        return 0
    # Also with nothing to move: a drainer that died between its commit and this left the mark behind.
    trim(found.mark)
    return found.rows


def move_a_batch() -> Moved | None:
    """None where another drainer is at it."""
    with transaction.atomic():
        if not drainer_is_me():
            return None
        with connection.cursor() as cursor:
            # A recovery that counts many rows holds the row for long; a drainer that is frozen must not.
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{FROZEN_SECONDS}s'")
        LedgerState.objects.get_or_create(pk=LedgerState.ONLY)
        # Locked before the stream is read: a recovery that counts the ledger does not count these rows on their way.
        state = LedgerState.objects.select_for_update().get(pk=LedgerState.ONLY)
        mark = state.last_stream_id
        letters = read_after(mark)
        if letters:
            mark = letters[-1].stream_id
            write(letters)
            LedgerState.objects.filter(pk=state.pk).update(last_stream_id=mark)
    return Moved(len(letters), mark)


def nothing_waits() -> bool:
    """Asked first, because it leaves PostgreSQL in peace: what is written is trimmed, so an empty stream is all."""
    with reaching_redis() as redis:
        return not redis.xlen(STREAM)


def drainer_is_me() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [DRAINER_LOCK])
        return bool(cursor.fetchone()[0])


def read_after(mark: str) -> list[Letter]:
    with reaching_redis() as redis:
        found = redis.xrange(STREAM, min=f"({mark}", count=BATCH)
    return [Letter(stream_id, fields.get("row", ""), fields.get("charged")) for stream_id, fields in found]


def write(letters: list[Letter]) -> None:
    """All at once; where the table refuses one of them, one by one, and that one is dead-lettered."""
    try:
        with transaction.atomic():
            insert(letters)
        return
    except OperationalError:
        raise
    except MALFORMED:
        logger.warning("Error in a batch of usage rows; writing them one by one")
    for letter in letters:
        try:
            with transaction.atomic():
                insert([letter])
        except OperationalError:
            raise
        except MALFORMED as error:
            logger.error("Error: usage row %s is dead-lettered: %s", letter.stream_id, type(error).__name__)
            bury(letter, error)


def bury(letter: Letter, error: Exception) -> None:
    """Keep the row whole for a person; and its money in the table, if that much of it can be read."""
    # PostgreSQL's text cannot hold a NUL, which may be why the row is here.
    kept = {"payload": letter.text.replace("\0", "\\0"), "error": str(error).replace("\0", "\\0")}
    DeadLetter.objects.get_or_create(stream_id=letter.stream_id, defaults=kept)
    try:
        row = orjson.loads(letter.text)
        money = {name: row[name] for name in ("request_id", "attempt", "user_id", "cost", "created_us")}
        with transaction.atomic():
            insert([Letter(letter.stream_id, orjson.dumps(money | UNREADABLE).decode(), letter.charged)])
    except MALFORMED:
        logger.error("Error: the cost of usage row %s is not in the table", letter.stream_id)


def insert(letters: Iterable[Letter]) -> None:
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for letter in letters:
        row = orjson.loads(letter.text) | {"charged": letter.charged}
        key = (row["request_id"], row["attempt"])
        # An estimate and its true usage in one batch: one statement may touch a row only once.
        if key not in rows or (rows[key].get("estimated") and not row.get("estimated")):
            rows[key] = row
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [orjson.dumps(list(rows.values())).decode()])


def trim(mark: str) -> None:
    """Forget what the table has, and say so: the processes drop their receipts up to here."""
    run_script("trim", {"mark": mark, "after": following(mark), "shift": 0})
