"""The staff's API: the contract's JSON, with the guide's figures."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import SoftBan, User
from conftest import key_of
from usage.clock import today
from usage.errors import RedisAway
from usage.tests.rows import insert

from .conftest import pay, with_jwt

pytestmark = pytest.mark.django_db

ROUTES = ("/admin/dashboard", "/admin/users/abusive", "/admin/costs/breakdown")


def body(client: Client, path: str, **options: Any) -> Any:
    response = client.get(path, **options)
    assert response.status_code == 200, response.content
    return response.json()


def test_an_empty_day(as_staff: Client) -> None:
    found = body(as_staff, "/admin/dashboard")
    assert found == {
        "date": today().isoformat(),
        "budget": {
            "spent_usd": 0,
            "held_usd": 0,
            "limit_usd": 50,
            "remaining_usd": 50,
            "percent_used": 0,
            "alert_level": "ok",
        },
        "users": {"active_today": 0, "avg_cost_per_user": 0, "abusive_count": 0, "abusive_users": []},
        "providers": [],
        "economics": {"revenue_usd": 0, "costs_usd": 0, "profit_usd": 0, "margin_percent": None},
        "alerts": [],
    }


def test_5_23_of_50_is_10_5_percent(as_staff: Client, spend: Callable[[str], None]) -> None:
    spend("5.23")
    found = body(as_staff, "/admin/dashboard")["budget"]
    assert (found["spent_usd"], found["remaining_usd"], found["percent_used"]) == (5.23, 44.77, 10.5)


@pytest.mark.parametrize(
    ("usd", "level"), [("37.4", "ok"), ("37.5", "warning"), ("45", "critical"), ("51", "critical")]
)
def test_the_levels(as_staff: Client, spend: Callable[[str], None], usd: str, level: str) -> None:
    spend(usd)
    assert body(as_staff, "/admin/dashboard")["budget"]["alert_level"] == level


def test_the_alert_and_what_to_do(as_staff: Client, spend: Callable[[str], None]) -> None:
    spend("46.15")
    (alert,) = body(as_staff, "/admin/dashboard", headers={"Accept-Language": "en"})["alerts"]
    assert alert["level"] == "critical"
    assert "92.3%" in alert["message"]
    assert alert["action"]
    assert alert["timestamp"]


def test_three_student_sales_are_20_74_usd(as_staff: Client, alice: User, bob: User, charlie: User) -> None:
    for user in (alice, bob, charlie):
        pay(user)
    insert(alice.pk, "openrouter", cost_usd="5.23")
    # None of these came in today: another day's, one that waits, and one at an old rate that was given back today.
    pay(alice, paid_at=timezone.now() - timedelta(days=2))
    pay(alice, status="pending", paid_at=None)
    found = body(as_staff, "/admin/dashboard")["economics"]
    assert found == {"revenue_usd": 20.74, "costs_usd": 5.23, "profit_usd": 15.51, "margin_percent": 74.8}


def test_a_refund_counts_on_its_day_at_the_rate_of_its_payment(as_staff: Client, alice: User) -> None:
    pay(alice)
    pay(alice, rate="159", status="refunded", paid_at=timezone.now() - timedelta(days=3), refunded_at=timezone.now())
    assert body(as_staff, "/admin/dashboard")["economics"]["revenue_usd"] == round(1590 / 230 - 10, 2)


def test_users_and_providers(as_staff: Client, alice: User, bob: User) -> None:
    insert(alice.pk, "openrouter", 301, cost_usd="0.01", latency_ms=200, tokens_input=1, tokens_output=2)
    insert(bob.pk, "groq", 9)
    insert(bob.pk, "groq", 1, error_flag=True)
    found = body(as_staff, "/admin/dashboard")
    assert found["users"] == {
        "active_today": 2,
        "avg_cost_per_user": 1.505,
        "abusive_count": 1,
        "abusive_users": [
            {"user_id": alice.pk, "email": alice.email, "tier": "pro", "messages": 301, "cost_usd": 3.01}
        ],
    }
    assert found["providers"] == [
        {
            "provider": "openrouter",
            "requests_count": 301,
            "tokens_total": 903,
            "cost_total": 3.01,
            "avg_latency_ms": 200,
            "error_rate": 0,
        },
        {
            "provider": "groq",
            "requests_count": 10,
            "tokens_total": 0,
            "cost_total": 0,
            "avg_latency_ms": 0,
            "error_rate": 10,
        },
    ]
    abusive = body(as_staff, "/admin/users/abusive")
    assert (abusive["count"], abusive["messages_over"]) == (1, 300)
    assert abusive["users"] == found["users"]["abusive_users"]


def test_money_is_printed_as_a_plain_number(as_staff: Client) -> None:
    insert(1, cost_usd="0.000000001")
    assert b'"costs_usd":0.000000001' in as_staff.get("/admin/dashboard").content


def test_breakdown(as_staff: Client, alice: User) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    insert(alice.pk, "openrouter", 2, cost_usd="0.5", tier="pro")
    insert(alice.pk, "groq", 3, tier="free", created_at=yesterday)
    insert(alice.pk, "groq", 1, cost_usd="7", created_at=timezone.now() - timedelta(days=7))
    pay(alice)
    found = body(as_staff, "/admin/costs/breakdown")
    assert (found["days"], len(found["by_day"]), found["total_usd"]) == (7, 7, 1)
    assert [day["requests_count"] for day in found["by_day"]] == [0, 0, 0, 0, 0, 3, 2]
    assert {row["name"]: row["cost_usd"] for row in found["by_provider"]} == {"openrouter": 1, "groq": 0}
    assert {row["name"]: row["requests_count"] for row in found["by_tier"]} == {"pro": 2, "free": 3}
    assert found["by_model"] == [{"name": "some-model", "requests_count": 5, "tokens_total": 0, "cost_usd": 1}]
    assert found["economics"]["revenue_usd"] == 6.91
    assert body(as_staff, "/admin/costs/breakdown?days=8")["total_usd"] == 8


@pytest.mark.parametrize("days", ["0", "-1", "367", "week", "1e3"])
def test_days_that_are_none(as_staff: Client, days: str) -> None:
    response = as_staff.get(f"/admin/costs/breakdown?days={days}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_a_ban_and_its_end(as_staff: Client, alice: User, sara: User, redis: Any) -> None:
    path = f"/admin/users/{alice.pk}/soft-ban"
    answer = as_staff.post(path, {"reason": "300 messages"}, content_type="application/json")
    assert answer.status_code == 200
    assert answer.json()["email"] == alice.email
    ban = SoftBan.objects.get()
    assert (ban.reason, ban.banned_by, ban.lifted_at) == ("300 messages", sara, None)
    assert abs(ban.until - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
    assert redis.get(f"banned:{alice.pk}")
    assert as_staff.delete(path).status_code == 204
    ban.refresh_from_db()
    assert ban.lifted_by == sara
    assert not redis.get(f"banned:{alice.pk}")
    assert as_staff.delete(path).status_code == 404


def test_a_ban_for_three_days(as_staff: Client, alice: User) -> None:
    as_staff.post(
        f"/admin/users/{alice.pk}/soft-ban", {"reason": "again", "hours": 72}, content_type="application/json"
    )
    assert SoftBan.objects.get().until > timezone.now() + timedelta(hours=71)


@pytest.mark.parametrize("wanted", [{}, {"reason": ""}, {"reason": "x" * 201}, {"reason": "x", "hours": 0}])
def test_a_ban_needs_a_reason(as_staff: Client, alice: User, wanted: dict[str, Any]) -> None:
    path = f"/admin/users/{alice.pk}/soft-ban"
    assert as_staff.post(path, wanted, content_type="application/json").status_code == 400
    assert not SoftBan.objects.exists()


def test_nobody_is_banned_who_is_not_there(as_staff: Client) -> None:
    for number in (999_999, 10**30):
        path = f"/admin/users/{number}/soft-ban"
        assert as_staff.post(path, {"reason": "x"}, content_type="application/json").status_code == 404
        assert as_staff.delete(path).status_code == 404


@pytest.mark.parametrize("path", ROUTES)
def test_who_may_see_it(path: str, alice: User, bob: User, charlie: User, sara: User) -> None:
    assert Client().get(path).status_code == 401
    assert Client(headers={"Authorization": "Bearer nonsense"}).get(path).status_code == 401
    for user in (alice, bob, charlie):
        assert with_jwt(user).get(path).status_code == 403
    # A key that leaked opens nothing here, not even staff's own.
    assert Client(headers={"Authorization": f"Bearer {key_of(sara)}"}).get(path).status_code == 403
    assert with_jwt(sara).get(path).status_code == 200


def test_who_may_ban(alice: User, bob: User, sara: User) -> None:
    path = f"/admin/users/{bob.pk}/soft-ban"

    def status(client: Client) -> int:
        return client.post(path, {"reason": "x"}, content_type="application/json").status_code

    assert status(Client()) == 401
    assert status(with_jwt(alice)) == 403
    assert with_jwt(alice).delete(path).status_code == 403
    # A session is asked for its token against forged forms; a forger has none.
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(sara)
    assert status(forged) == 403
    assert not SoftBan.objects.exists()


def test_redis_away_is_503(as_staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(user_id: int = 0) -> None:
        raise RedisAway

    monkeypatch.setattr("usage.budget.counters", away)
    assert as_staff.get("/admin/dashboard").status_code == 503


def test_no_more_queries_for_more_rows(as_staff: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            body(as_staff, "/admin/dashboard")
        return len(captured)

    # The first look of a process is its way to the counters, too.
    queries()
    insert(1, rows=301)
    few = queries()
    for user in range(2, 8):
        insert(user, "openrouter", rows=301)
    assert queries() == few
