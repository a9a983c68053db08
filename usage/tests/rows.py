"""Usage rows that no call of ours wrote."""

from typing import Any

from django.db import connection


def insert(user_id: int, provider: str = "groq", rows: int = 1, **columns: Any) -> None:
    """As an operator would, in plain SQL: each row a message of its own, admitted now."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(", %s" for _ in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO llm_usage_logs (user_id, provider, model{names}) "
            f"SELECT %s, %s, 'some-model'{values} FROM generate_series(1, %s)",
            [user_id, provider, *columns.values(), rows],
        )
