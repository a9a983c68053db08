"""The operator's figures of a day, however the rows came into the table."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import User
from usage.clock import today as this_day
from usage.reports import history
from usage.reports.heavy_users import abusive_users

from .rows import insert

pytestmark = pytest.mark.django_db


def test_an_empty_day() -> None:
    assert history.totals(this_day(), this_day()) == history.Totals(0, 0, 0, Decimal(0))
    assert history.totals(this_day(), this_day()).cost_per_user == 0
    assert history.providers(this_day(), this_day()) == []
    assert abusive_users(this_day()) == []
    assert history.top_users(this_day(), this_day()) == []


def test_the_guides_insert_counts() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm_usage_logs (user_id, provider, model, tokens_input, tokens_output, cost_usd) "
            "VALUES (1,'groq','llama-3.3-70b',100,800,0.0)"
        )
    assert history.totals(this_day(), this_day()) == history.Totals(1, 1, 900, Decimal(0))


def test_providers() -> None:
    insert(1, "openrouter", 3, cost_usd="0.5", latency_ms=100, tokens_input=10, tokens_output=5)
    insert(1, "openrouter", 1, error_flag=True, latency_ms=900)
    insert(2, "groq", 2, latency_ms=40)
    openrouter, groq = history.providers(this_day(), this_day())
    assert (openrouter.provider, openrouter.calls, openrouter.errors, openrouter.tokens) == ("openrouter", 4, 1, 45)
    assert (openrouter.cost_usd, openrouter.error_rate) == (Decimal("1.5"), Decimal("25.0"))
    assert openrouter.latency_avg_ms == 300
    assert (openrouter.latency_p50_ms, openrouter.latency_p95_ms) == pytest.approx((100, 100), rel=0.05)
    assert (groq.provider, groq.calls, groq.error_rate) == ("groq", 2, Decimal(0))


def test_percentiles() -> None:
    for latency in range(1, 101):
        insert(1, latency_ms=latency)
    (groq,) = history.providers(this_day(), this_day())
    assert (groq.latency_p50_ms, groq.latency_p95_ms) == pytest.approx((50, 95), rel=0.05)


def test_abuse_is_more_than_300_messages_not_calls(alice: User, bob: User) -> None:
    insert(alice.pk, rows=301, cost_usd="0.01")
    insert(bob.pk, rows=300)
    # Bob's fall-backs: more rows, the same messages.
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm_usage_logs (request_id, attempt, user_id, provider, model) "
            "SELECT request_id, 2, user_id, 'groq', 'm' FROM llm_usage_logs WHERE user_id = %s",
            [bob.pk],
        )
    (abuser,) = abusive_users(this_day())
    assert (abuser.email, abuser.tier, abuser.messages, abuser.cost_usd) == (alice.email, "pro", 301, Decimal("3.01"))


def test_the_dearest_users_first(alice: User, charlie: User) -> None:
    insert(charlie.pk, rows=2, cost_usd="0.2")
    insert(alice.pk, rows=1, cost_usd="0.3")
    insert(999_999, rows=1, cost_usd="0.1")
    found = history.top_users(this_day(), this_day())
    assert [(u.email, u.tier) for u in found] == [(charlie.email, "free"), (alice.email, "pro"), ("", "free")]
    assert len(history.top_users(this_day(), this_day(), limit=1)) == 1


def test_the_day_is_that_of_algiers() -> None:
    """22:59 UTC is 23:59 of the same day there, 23:00 UTC is the next day."""
    insert(1, created_at=datetime(2026, 3, 1, 22, 59, tzinfo=UTC))
    insert(2, rows=2, created_at=datetime(2026, 3, 1, 23, 0, tzinfo=UTC))
    assert history.totals(date(2026, 3, 1), date(2026, 3, 1)).calls == 1
    assert history.totals(date(2026, 3, 2), date(2026, 3, 2)).calls == 2
