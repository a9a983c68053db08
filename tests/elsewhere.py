"""What another process does: it changes rows by statements that this process knows nothing of, and announces it."""

import secrets
from typing import Any

from django.db import connection

from usage.changes import key
from usage.redis import client


def sql(statement: str, *parameters: Any) -> None:
    """By hand: nothing is announced."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def announced(user_id: int | None) -> None:
    client().set(key(user_id), secrets.token_hex(8))


def changed(user_id: int | None, statement: str, *parameters: Any) -> None:
    """By another process of the product; None: something that concerns everyone."""
    sql(statement, *parameters)
    announced(user_id)


def given_tier(user_id: int, tier: str) -> None:
    changed(
        user_id,
        "INSERT INTO user_tiers (user_id, tier) VALUES (%s, %s)"
        " ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier",
        user_id,
        tier,
    )
