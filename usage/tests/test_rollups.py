"""The sums per hour and day say what a recount of the table says, whoever wrote to it, and how."""

import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.concurrency import at_once
from usage import rollups
from usage.drainer import Letter, insert
from usage.models import HourRollup, LatencyRollup, UsageLog, UserDayRollup

# Half past eleven at night in Algiers: the last hour of 1 March.
LATE = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def wrong_sums() -> int:
    return sum(rollups.rebuild(day, dry_run=True) for day in rollups.days_there_are())


def drained(number: int, *, estimated: bool = False, cost: int = 10**6, minutes: int = 0) -> Letter:
    """A row as the drainer gets it."""
    row = {
        "request_id": str(UUID(int=number)),
        "attempt": 1,
        "user_id": number % 3,
        "tier": "pro",
        "provider": "openrouter",
        "model": "gpt-4o",
        "cost": str(cost),
        "tokens_input": 10,
        "latency_ms": 100 * number,
        "estimated": estimated,
        "created_us": str(int((LATE + timedelta(minutes=minutes)).timestamp()) * 10**6),
    }
    return Letter(f"{number}-0", orjson.dumps(row).decode())


drain = st.builds(
    lambda letters: lambda: insert(letters),
    st.lists(
        st.builds(
            drained,
            st.integers(0, 5),
            estimated=st.booleans(),
            cost=st.integers(0, 10**9),
            minutes=st.integers(-90, 90),
        ),
        max_size=6,
    ),
)
by_hand = st.builds(
    lambda user, provider, failed, hours, rows: (
        lambda: sql(
            "INSERT INTO llm_usage_logs (user_id, provider, model, cost_usd, latency_ms, error_flag, created_at) "
            "SELECT %s, %s, 'm', 0.001, 50 * n, %s, %s FROM generate_series(1, %s) AS n",
            user,
            provider,
            failed,
            LATE + timedelta(hours=hours),
            rows,
        )
    ),
    st.integers(0, 3),
    st.sampled_from(["groq", "openrouter"]),
    st.booleans(),
    st.integers(-30, 30),
    st.integers(1, 4),
)
changed = st.sampled_from(
    [
        lambda: sql("UPDATE llm_usage_logs SET tier = 'student', cost_usd = cost_usd * 2 WHERE user_id = 1"),
        lambda: sql("UPDATE llm_usage_logs SET created_at = created_at - interval '1 hour' WHERE user_id = 2"),
        lambda: sql("UPDATE llm_usage_logs SET error_flag = NOT error_flag WHERE provider = 'groq'"),
        lambda: sql("DELETE FROM llm_usage_logs WHERE user_id = 0"),
        lambda: sql("TRUNCATE llm_usage_logs"),
        rollups.fold,
    ]
)


@pytest.mark.django_db(transaction=True)
@given(st.lists(drain | by_hand | changed, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_the_sums_are_a_recount(steps: list[Any]) -> None:
    sql("TRUNCATE llm_usage_logs")
    for step in steps:
        step()
    assert wrong_sums() == 0
    rows = list(UsageLog.objects.all())
    # And once more in Python, which shares no expression with the SQL.
    calls = Counter((row.created_at.replace(minute=0), row.provider, row.model, row.tier) for row in rows)
    for (hour, provider, model, tier), number in calls.items():
        found = HourRollup.objects.filter(hour=hour, provider=provider, model=model, tier=tier)
        assert found.aggregate(n=Sum("calls"))["n"] == number
    total = Sum("cost_usd", default=Decimal(0))
    assert UserDayRollup.objects.aggregate(n=total)["n"] == sum(row.cost_usd for row in rows)
    failed = Sum("errors", default=0)
    assert UserDayRollup.objects.aggregate(n=failed)["n"] == sum(row.error_flag for row in rows)


@pytest.mark.django_db
def test_folding_leaves_one_row_per_key() -> None:
    for number in range(1, 6):
        insert([drained(number)])
    assert HourRollup.objects.count() == 5
    assert rollups.fold() > 0
    assert (HourRollup.objects.get().calls, HourRollup.objects.get().cost_usd) == (5, Decimal("0.005"))
    assert wrong_sums() == 0
    assert rollups.fold() == 0


@pytest.mark.django_db
def test_an_estimate_gives_way_to_what_was_billed() -> None:
    insert([drained(1, estimated=True, cost=5 * 10**6)])
    insert([drained(1, cost=2 * 10**6)])
    assert UserDayRollup.objects.aggregate(n=Sum("cost_usd"), calls=Sum("calls")) == {"n": Decimal("0.002"), "calls": 1}


@pytest.mark.django_db
def test_the_day_ends_at_midnight_in_algiers() -> None:
    insert([drained(1), drained(2, minutes=30)])
    days = UserDayRollup.objects.values_list("day", flat=True).order_by("day")
    assert list(days) == [date(2026, 3, 1), date(2026, 3, 2)]


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_an_open_transaction() -> None:
    """An operator who forgets to commit must not hold up the drainer."""
    insert([drained(1)])
    written, go_on = threading.Event(), threading.Event()

    def operator() -> None:
        with transaction.atomic():
            insert([drained(2)])
            written.set()
            go_on.wait(10)
        connection.close()

    thread = threading.Thread(target=operator)
    thread.start()
    written.wait(10)
    sql("SET lock_timeout = '2s'")
    try:
        insert([drained(3)])
        rollups.fold()
    finally:
        sql("RESET lock_timeout")
        go_on.set()
        thread.join()
    rollups.fold()
    assert HourRollup.objects.get().calls == 3


@pytest.mark.django_db(transaction=True)
def test_writers_folders_and_a_rebuild_at_once() -> None:
    turn = iter(range(10**6))

    def work() -> None:
        for _ in range(10):
            number = next(turn)
            insert([drained(number)])
            if number % 7 == 0:
                rollups.fold()
            if number % 20 == 0:
                rollups.rebuild(date(2026, 3, 1))

    assert at_once(4, work)[1] == []
    assert HourRollup.objects.aggregate(n=Sum("calls"))["n"] == 40
    assert wrong_sums() == 0


@pytest.mark.django_db
def test_rebuild_mends_what_is_wrong_and_says_so() -> None:
    insert([drained(1), drained(2)])
    sql("UPDATE usage_rollup_hours SET calls = 7")
    LatencyRollup.objects.all().delete()
    said = StringIO()
    call_command("rebuild_rollups", "--dry-run", stdout=said)
    assert "would" in said.getvalue()
    assert wrong_sums() == 3
    said = StringIO()
    call_command("rebuild_rollups", stdout=said)
    assert "2026-03-01" in said.getvalue()
    assert "1 day, 3 sums" in said.getvalue()
    assert wrong_sums() == 0
    said = StringIO()
    call_command("rebuild_rollups", stdout=said)
    assert "All sums of 1 day are right" in said.getvalue()


@pytest.mark.django_db
def test_rebuild_of_an_empty_table() -> None:
    said = StringIO()
    call_command("rebuild_rollups", stdout=said)
    assert "no usage" in said.getvalue()
