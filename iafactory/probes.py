"""Whether the two servers answer, each within two seconds."""

from django.db import DatabaseError, connection

from accounts.deadline import TooLate, at_most
from accounts.fresh import release_connection
from usage.errors import RedisAway
from usage.redis import reaching_redis

PROBE_SECONDS = 2.0


def postgres_answers() -> bool:
    try:
        with at_most(PROBE_SECONDS), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, TooLate):
        return False
    finally:
        release_connection()
    return True


def redis_answers() -> bool:
    try:
        with reaching_redis() as redis:
            return bool(redis.ping())
    except RedisAway:
        return False
