"""The questions about usage are answered by indexes: with many rows none of them reads the whole table."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.tokens import issue_tokens
from billing.entitlements import entitlements_for
from usage import standing
from usage.clock import today as this_day
from usage.ledger import day_bounds
from usage.reports import heavy_users, history

pytestmark = pytest.mark.django_db

BIG = {"llm_usage_logs", "usage_rollup_hours", "usage_rollup_user_days", "usage_rollup_latencies"}


@pytest.fixture
def a_long_history(alice: User) -> None:
    """Some months of other people's calls, and a little of today's."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO llm_usage_logs (user_id, provider, model, tier, latency_ms, created_at)
            SELECT 1000 + n % 300, 'p' || n % 3, 'm', 'pro', n % 900, now() - interval '10 minutes' * n
            FROM generate_series(1, 20000) AS n
            """
        )
        cursor.execute(
            "INSERT INTO llm_usage_logs (user_id, provider, model) SELECT %s, 'groq', 'm' FROM generate_series(1, 20)",
            [alice.pk],
        )
        for table in BIG:
            cursor.execute(f"ANALYZE {table}")


QUESTIONS: dict[str, Callable[[int], Any]] = {
    "totals": lambda user: history.totals(this_day(), this_day()),
    "providers": lambda user: history.providers(this_day(), this_day()),
    "abusive users": lambda user: heavy_users.abusive_users(this_day()),
    "top users": lambda user: history.top_users(this_day(), this_day()),
    "hours": lambda user: history.by_hour(*day_bounds(this_day() - timedelta(days=1))),
    "days": lambda user: history.by_day(this_day() - timedelta(days=2), this_day()),
    "providers of days": lambda user: history.providers(this_day() - timedelta(days=2), this_day()),
    "tiers of days": lambda user: history.tiers(this_day() - timedelta(days=2), this_day()),
    "top users of days": lambda user: history.top_users(this_day() - timedelta(days=2), this_day()),
    "totals of days": lambda user: history.totals(this_day() - timedelta(days=2), this_day()),
    "a user's own day": lambda user: standing.today(user, entitlements_for(user)),
    "a user's own list": lambda user: own_list(user),
}


def own_list(user: int) -> None:
    owner = User.objects.get(pk=user)
    answer = Client().get("/api/v2/usage", headers={"Authorization": f"Bearer {issue_tokens(owner).access}"})
    assert len(answer.json()["results"]) == 20


@pytest.mark.usefixtures("a_long_history")
@pytest.mark.parametrize("question", QUESTIONS)
def test_by_an_index(question: str, alice: User) -> None:
    QUESTIONS[question](alice.pk)
    with CaptureQueriesContext(connection) as captured:
        QUESTIONS[question](alice.pk)
    asked = [query["sql"] for query in captured if any(table in query["sql"] for table in BIG)]
    assert asked
    for sql in asked:
        assert read_in_whole(sql) == [], sql


def read_in_whole(sql: str) -> list[str]:
    """The large tables of which the plan reads every row."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + sql.replace("%", "%%"), [])
        found = cursor.fetchone()[0]
    plan = json.loads(found) if isinstance(found, str) else found
    return [
        node["Relation Name"]
        for node in nodes(plan[0]["Plan"])
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG
    ]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.mark.usefixtures("a_long_history")
def test_the_test_would_notice() -> None:
    assert read_in_whole("SELECT count(*) FROM llm_usage_logs WHERE latency_ms = 5") == ["llm_usage_logs"]
