"""Whether the two servers answer, each within two seconds."""

from django.db import DatabaseError, connection
from redis.exceptions import ResponseError

from accounts import postgres
from accounts.deadline import TooLate, at_most
from accounts.fresh import release_connection
from usage.errors import RedisAway
from usage.redis import line, reaching_redis

PROBE_SECONDS = 2.0


def postgres_answers() -> bool:
    return postgres_trouble() is None


def redis_answers() -> bool:
    return redis_trouble() is None


def postgres_trouble() -> Exception | None:
    """What shows that PostgreSQL is away; None: it answers."""
    try:
        with at_most(PROBE_SECONDS), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except TooLate as error:
        return error
    except DatabaseError as error:
        # A pool without a free connection, or a refused statement, is no outage.
        return error if postgres.is_away(error) else None
    finally:
        release_connection()
    return None


def redis_trouble() -> Exception | None:
    try:
        # Over the connection that the scripts use: a pool without a free connection is no outage.
        with reaching_redis():
            line().ask("PING")
    except RedisAway as away:
        # BUSY: it answers, and runs one slow script meanwhile.
        busy = isinstance(away.__cause__, ResponseError) and str(away.__cause__).startswith("BUSY")
        return None if busy else away
    return None
