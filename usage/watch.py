"""What the operator is told of the money's machinery: how far the table is behind, bills above their holds, and how the
Redis of the money feels."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from billing.money import dollars

from .ledger import STREAM
from .redis import reaching_redis


@dataclass(frozen=True, slots=True)
class Backlog:
    """Rows on their way to the table, and for how many seconds the oldest has waited."""

    rows: int
    seconds: int


def backlog() -> Backlog:
    """Raises `RedisAway`."""
    with reaching_redis() as redis:
        rows, oldest, (seconds, _micros) = redis.xlen(STREAM), redis.xrange(STREAM, count=1), redis.time()
    if not oldest:
        return Backlog(rows, 0)
    # An id begins with the server's own milliseconds.
    return Backlog(rows, max(0, seconds - int(oldest[0][0].split("-")[0]) // 1000))


@dataclass(frozen=True, slots=True)
class Overruns:
    """The bills of a day that were above their holds, and by how much in all."""

    count: int
    usd: Decimal


def overruns(day: date) -> Overruns:
    """Raises `RedisAway`."""
    with reaching_redis() as redis:
        count, nano = redis.hmget(f"budget:{day}:overruns", "count", "nano")
    return Overruns(int(count or 0), dollars(int(nano or 0)))


@dataclass(frozen=True, slots=True)
class RedisState:
    """Whether it keeps what it is told, and how full it is (0 where it has no limit)."""

    writes: bool
    percent_full: int


def redis_state() -> RedisState:
    """Raises `RedisAway`."""
    with reaching_redis() as redis:
        memory, kept = redis.info("memory"), redis.info("persistence")
    most = int(memory.get("maxmemory", 0))
    return RedisState(
        writes="err" not in (kept.get("aof_last_write_status"), kept.get("aof_last_bgrewrite_status")),
        percent_full=100 * int(memory["used_memory"]) // most if most else 0,
    )
