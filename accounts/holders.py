"""Who holds a credential, as PostgreSQL has it, in one statement by hand: each caller who was not here in the last 5 s
is asked for, and the ORM takes longer to put that question together than the whole call takes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

BY_ID = """
    SELECT u.id, u.email, u.is_staff, u.password, b.until
    FROM users u LEFT JOIN soft_bans b ON b.user_id = u.id AND b.lifted_at IS NULL AND b.until > %(now)s
    WHERE u.id = %(id)s AND u.is_active
"""
BY_KEY = """
    SELECT u.id, u.email, u.is_staff, u.password, b.until, k.id, k.last_used_at
    FROM api_keys k JOIN users u ON u.id = k.user_id
    LEFT JOIN soft_bans b ON b.user_id = u.id AND b.lifted_at IS NULL AND b.until > %(now)s
    WHERE k.digest = %(digest)s AND k.revoked_at IS NULL AND u.is_active
"""
# SKIP LOCKED: a caller does not wait for a transaction that holds the row (a bulk update, a page of staff).
# Two processes may note the same minute; the condition, judged on the locked row, lets one of them write.
NOTE_USE = """
    UPDATE api_keys SET last_used_at = %(now)s WHERE id = (
        SELECT id FROM api_keys WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < %(before)s)
        FOR UPDATE SKIP LOCKED
    )
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody active. `password` is its hash; `banned_until` is the end of the ban in force, in seconds since the
    epoch, or 0."""

    user_id: int
    email: str
    is_staff: bool
    password: str
    banned_until: float


@dataclass(frozen=True, slots=True)
class KeyUse:
    id: int
    last_used_at: datetime | None


def holder(user_id: int) -> Holder | None:
    row = _row(BY_ID, {"id": user_id, "now": timezone.now()})
    return None if row is None else _holder(row)


def owner_of_key(digest: str) -> tuple[Holder, KeyUse] | None:
    """Of a key that was not revoked."""
    row = _row(BY_KEY, {"digest": digest, "now": timezone.now()})
    return None if row is None else (_holder(row[:5]), KeyUse(*row[5:]))


def note_use(key_id: int, *, now: datetime, before: datetime) -> None:
    """Write the last use of a key, unless it was used since `before` or another transaction holds the row."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE_USE, {"id": key_id, "now": now, "before": before})


def _row(statement: str, about: dict[str, Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, about)
        found: tuple[Any, ...] | None = cursor.fetchone()
        return found


def _holder(row: tuple[Any, ...]) -> Holder:
    user_id, email, is_staff, password, until = row
    return Holder(user_id, email, is_staff, password, until.timestamp() if until else 0.0)
