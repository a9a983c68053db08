"""The counters built anew from the ledger: what Redis kept of the stream and of what is under way, and the table.

Only the leader of a recovery calls this, while every script of everyone else is told to attach; dying half-way leaves
that state, and whoever attaches next begins again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeVar
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.models import SoftBan
from billing.money import dollars, nano_nearest

from .clock import SECOND, day_of, moment
from .flights import Hold, Message
from .ids import following, is_after
from .leadership import Command, Leader
from .ledger import STREAM, Entry, day_bounds, handed_in_twice, in_table, pending
from .models import BudgetReset
from .redis import reaching_redis

KEPT_SECONDS = 3 * 86400
MINUTE = 60 * SECOND
CHUNK = 1000
FIELDS_AT_ONCE = 500
# A place in the split is looked up in the rows of so many days.
TURNS_DAYS = 7

Item = TypeVar("Item")


@dataclass
class Day:
    """The counters of one day, in nano-dollars and messages."""

    spent: int = 0
    held: int = 0
    # What users were charged, and what of the cost of their calls was waived.
    spent_by: Counter[int] = field(default_factory=Counter)
    waived_by: Counter[int] = field(default_factory=Counter)
    held_by: Counter[int] = field(default_factory=Counter)
    messages: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Kept:
    """What Redis still has: rows on their way, attempts under way, messages counted in advance."""

    rows: list[Entry]
    holds: list[Hold]
    messages: list[Message]


def rebuild_counters(leader: Leader, table_mark: str) -> None:
    """Set every counter of today and yesterday (calls admitted before midnight may still be under way)."""
    drop_what_the_table_has(leader, table_mark)
    rows = drop_handed_in_twice(leader, [entry for batch in pending() for entry in batch])
    kept = Kept(rows, drop_settled_holds(leader, rows), drop_answered_messages(leader, rows))
    today = day_of(leader.now)
    for day in (today - timedelta(days=1), today):
        leader.write(day_written(day, day == today, count_day(day, kept)))
    leader.write([("SET", "budget:day", today.isoformat())])
    leader.write(rates_written(rows, leader.now))
    leader.write(turns_written())


def drop_what_the_table_has(leader: Leader, table_mark: str) -> None:
    """Trim the stream to what the drainer has not written, and let no new id fall behind its mark."""
    commands: list[Command] = []
    if table_mark != "0-0":
        with reaching_redis(patiently=True) as redis:
            last = str(redis.xinfo_stream(STREAM)["last-generated-id"]) if redis.exists(STREAM) else "0-0"
        if is_after(table_mark, last):
            # The drainer reads after its mark: an id at or before it would never be read.
            commands.append(("XADD", STREAM, table_mark, "mark", table_mark))
        commands.append(("XTRIM", STREAM, "MINID", following(table_mark)))
    leader.write([*commands, ("SET", "usage:mark", table_mark)])


def drop_handed_in_twice(leader: Leader, rows: list[Entry]) -> list[Entry]:
    twice = {entry.stream_id for chunk in in_chunks(rows) for entry in handed_in_twice(chunk)}
    leader.write([("XDEL", STREAM, stream_id) for stream_id in twice])
    return [entry for entry in rows if entry.stream_id not in twice]


def drop_settled_holds(leader: Leader, rows: list[Entry]) -> list[Hold]:
    """An older data set brings back holds of attempts that were settled since: they have a row."""
    on_their_way = {entry.key for entry in rows}
    kept = []
    for chunk in in_chunks(list(all_holds())):
        written = in_table(hold.key for hold in chunk)
        settled = [hold for hold in chunk if hold.key in on_their_way or hold.key in written]
        leader.write([("HDEL", f"budget:holds:{hold.process}", hold.field) for hold in settled])
        kept += [hold for hold in chunk if hold not in settled]
    return kept


def all_holds() -> Iterator[Hold]:
    with reaching_redis(patiently=True) as redis:
        for key in redis.scan_iter("budget:holds:*", count=CHUNK):
            for name, record in redis.hscan_iter(key, count=CHUNK):
                yield Hold.parse(key.removeprefix("budget:holds:"), name, record)


def drop_answered_messages(leader: Leader, rows: list[Entry]) -> list[Message]:
    """It also brings back messages as open that were answered since: a row counts them. Left open, nobody would know
    them, and they would be given back as strays. (A process that still has one of them open hands it in again.)"""
    on_their_way = {entry.key[0] for entry in rows if entry.counted and entry.key is not None}
    kept = []
    for chunk in in_chunks(list(open_messages())):
        answered = on_their_way | requests_counted(UUID(message.request_id) for _, message in chunk)
        is_over = {message.request_id: UUID(message.request_id) in answered for _, message in chunk}
        leader.write([("HDEL", key, m.request_id) for key, m in chunk if is_over[m.request_id]])
        kept += [message for _, message in chunk if not is_over[message.request_id]]
    return kept


def open_messages() -> Iterator[tuple[str, Message]]:
    """With the keys under which Redis has them."""
    with reaching_redis(patiently=True) as redis:
        for key in redis.scan_iter("quota:open:*", count=CHUNK):
            for request_id, about in redis.hscan_iter(key, count=CHUNK):
                user_id, day = about.split(" ")
                yield key, Message(request_id, int(user_id), day)


def count_day(day: date, kept: Kept) -> Day:
    counted = Day()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT user_id, sum(cost_usd), sum(coalesce(charged_usd, cost_usd)),
                   count(DISTINCT request_id) FILTER (WHERE counted)
            FROM llm_usage_logs WHERE created_at >= %s AND created_at < %s GROUP BY user_id
            """,
            day_bounds(day),
        )
        for user_id, cost, charged, messages in cursor.fetchall():
            counted.spent += nano_nearest(cost)
            counted.spent_by[user_id] = nano_nearest(charged)
            counted.waived_by[user_id] = nano_nearest(cost - charged)
            counted.messages[user_id] = messages
    # Messages that may not be in the table: those of rows on their way, and those not answered yet.
    elsewhere = {UUID(m.request_id): m.user_id for m in kept.messages if m.day == day.isoformat()}
    for entry in kept.rows:
        if entry.day == day.isoformat():
            counted.spent += entry.moved
            counted.spent_by[entry.user_id] += entry.charged
            counted.waived_by[entry.user_id] += entry.moved - entry.charged
            if entry.counted and entry.key is not None:
                elsewhere[entry.key[0]] = entry.user_id
    for hold in kept.holds:
        if hold.day == day.isoformat():
            counted.held += hold.amount
            counted.held_by[hold.user_id] += hold.amount
    for request_id in elsewhere.keys() - requests_counted(elsewhere):
        counted.messages[elsewhere[request_id]] += 1
    return counted


def requests_counted(requests: Iterable[UUID]) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT request_id FROM llm_usage_logs WHERE counted AND request_id = ANY(%s::uuid[])",
            [list(requests)],
        )
        return {request_id for (request_id,) in cursor.fetchall()}


def day_written(day: date, is_today: bool, counted: Day) -> Iterator[Command]:
    spent_key = "budget:today:usd" if is_today else f"budget:{day}:usd"
    quota_key, held_key, users_key = f"quota:{day}", f"budget:{day}:held", f"budget:{day}:users"
    users = {f"{user_id}:spent": amount for user_id, amount in counted.spent_by.items() if amount}
    users |= {f"{user_id}:held": amount for user_id, amount in counted.held_by.items() if amount}
    users |= {f"{user_id}:waived": amount for user_id, amount in counted.waived_by.items() if amount}
    spent = max(0, counted.spent - reset_offset(day))
    yield "DEL", quota_key, users_key
    yield ("SET", spent_key, f"{dollars(spent):.9f}", *(() if is_today else ("EX", KEPT_SECONDS)))
    yield "SET", held_key, counted.held, "EX", KEPT_SECONDS
    for key, values in ((quota_key, counted.messages), (users_key, users)):
        yield from hash_written(key, {str(name): value for name, value in values.items()})
        yield "EXPIRE", key, KEPT_SECONDS


def hash_written(key: str, values: Mapping[str, object]) -> Iterator[Command]:
    """A few fields at a time: a script takes so many arguments only."""
    for chunk in in_chunks(list(values.items()), FIELDS_AT_ONCE):
        yield ("HSET", key, *(part for pair in chunk for part in pair))


def reset_offset(day: date) -> int:
    """What the ledger said when the day's counter was last begun again, in nano-dollars."""
    reset = BudgetReset.objects.filter(day=day).order_by("-id").first()
    return nano_nearest(reset.ledger_usd) if reset else 0


def rates_written(rows: list[Entry], now: int) -> Iterator[Command]:
    """The last minute of every user, for the per-minute limit."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT user_id, request_id::text, (extract(epoch FROM min(created_at)) * 1000000)::bigint
            FROM llm_usage_logs WHERE created_at > %s GROUP BY user_id, request_id
            """,
            [moment(now - MINUTE)],
        )
        recent = {request_id: (user_id, at) for user_id, request_id, at in cursor.fetchall()}
    for entry in rows:
        if entry.key is not None and entry.created_us > now - MINUTE:
            recent[str(entry.key[0])] = (entry.user_id, entry.created_us)
    for request_id, (user_id, at) in recent.items():
        yield "ZADD", f"ratelimit:{user_id}", at, request_id
        yield "PEXPIRE", f"ratelimit:{user_id}", 61_000


def turns_written() -> Iterator[Command]:
    """Everybody's place in the split goes on where the last row of it was."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT ON (user_id) user_id, split_turn FROM llm_usage_logs
            WHERE split_turn IS NOT NULL AND created_at > now() - make_interval(days => %s)
            ORDER BY user_id, created_at DESC
            """,
            [TURNS_DAYS],
        )
        turns = {str(user_id): (turn + 1) % 100 for user_id, turn in cursor.fetchall()}
    yield from hash_written("quota:turns", turns)


def rebuild_bans(leader: Leader) -> None:
    """Redis's copy of the bans as PostgreSQL has them: those that it lost, and without those that were lifted."""
    in_force = {f"banned:{ban.user_id}": ban for ban in SoftBan.objects.in_force(timezone.now())}
    with reaching_redis(patiently=True) as redis:
        lifted = [key for key in redis.scan_iter("banned:*", count=CHUNK) if key not in in_force]
    leader.write([("DEL", key) for key in lifted])
    leader.write(("SET", key, ban.reason, "EXAT", int(ban.until.timestamp())) for key, ban in in_force.items())


def in_chunks(items: list[Item], size: int = CHUNK) -> Iterable[list[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
