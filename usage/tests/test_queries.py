"""What is asked for often goes by an index, whatever the table's length: PostgreSQL says so itself."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from conftest import key_of

pytestmark = pytest.mark.django_db

ROWS = 20_000
PEOPLE = 200


@pytest.fixture
def long_table(alice: User) -> None:
    """Long enough that reading all of it would be dearer than the index; a day's worth, and of many people."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO llm_usage_logs (user_id, provider, model, tokens_input, tokens_output, created_at)
            SELECT %s + n %% %s, 'groq', 'gpt-oss-120b', 1, 1, now() - n * interval '1 minute'
            FROM generate_series(1, %s) AS n
            """,
            [alice.pk, PEOPLE, ROWS],
        )
        cursor.execute("ANALYZE llm_usage_logs")


def plans(path: str, user: User) -> list[str]:
    """How PostgreSQL goes about the questions that a page asks of the usage table."""
    headers = {"Authorization": f"Bearer {key_of(user)}"}
    # The first question of a process to a new Redis has it count the day: not what is asked for often.
    Client().get(path, headers=headers)
    with CaptureQueriesContext(connection) as queries:
        response = Client().get(path, headers=headers)
    assert response.status_code == 200, response.content
    asked = [each["sql"] for each in queries if "llm_usage_logs" in each["sql"]]
    with connection.cursor() as cursor:
        return [_explained(cursor, sql) for sql in asked]


def _explained(cursor: Any, sql: str) -> str:
    cursor.execute(f"EXPLAIN {sql}")
    return "\n".join(line for (line,) in cursor.fetchall())


@pytest.mark.usefixtures("long_table")
@pytest.mark.parametrize("path", ["/api/v2/usage", "/api/v2/usage?page_size=200", "/api/v2/usage/today"])
def test_a_customer_s_usage_is_found_by_its_index(alice: User, path: str) -> None:
    found = plans(path, alice)
    assert found
    for plan in found:
        assert "llm_usage_logs_user_time" in plan, plan
        assert "Seq Scan on llm_usage_logs" not in plan, plan


@pytest.mark.usefixtures("long_table")
def test_the_later_pages_too(alice: User) -> None:
    first = Client().get("/api/v2/usage", headers={"Authorization": f"Bearer {key_of(alice)}"}).json()
    for plan in plans(first["next"], alice):
        assert "llm_usage_logs_user_time" in plan, plan
        assert "Seq Scan on llm_usage_logs" not in plan, plan
