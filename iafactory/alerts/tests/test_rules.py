"""Each rule: silent while all is well, and what it says when it is not."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone, translation

from accounts.models import User
from billing.models import PaymentTransaction
from iafactory.alerts import rules, watch
from iafactory.alerts.models import Incident
from iafactory.alerts.rules import RULES, Alert
from iafactory.celery import app as celery
from usage import budget
from usage import watch as ledger_watch
from usage.ledger import STREAM
from usage.models import DeadLetter, UsageLog

pytestmark = pytest.mark.django_db


def alerts(name: str) -> list[Alert]:
    (rule,) = (rule for rule in RULES if rule.name == name)
    found = rules.look([rule])
    assert found.judged == {name}
    return list(found.alerts)


def said(name: str) -> list[tuple[str, str]]:
    return [(str(alert.level), alert.message) for alert in alerts(name)]


def calls(number: int, user: int = 1, *, provider: str = "openrouter", **fields: Any) -> None:
    UsageLog.objects.bulk_create(
        UsageLog(request_id=uuid4(), attempt=1, user_id=user, provider=provider, model="m", **fields)
        for _ in range(number)
    )


def paid(user: User, days_ago: int = 0, **fields: Any) -> PaymentTransaction:
    at = timezone.now() - timedelta(days=days_ago)
    values = {"user": user, "tier_id": "student", "amount_dzd": 1590, "status": "paid", "paid_at": at, "created_at": at}
    return PaymentTransaction.objects.create(**(values | fields))


def test_all_is_well() -> None:
    budget.counters()
    found = rules.look()
    assert list(found.alerts) == []
    assert found.judged == {rule.name for rule in RULES}
    assert rules.standing() == []


def test_every_rule_has_words_in_every_language() -> None:
    """Whatever a translation does with its blanks, it must be able to be filled in."""
    values = dict.fromkeys(
        [
            "percent",
            "seconds",
            "rows",
            "count",
            "provider",
            "ordinal",
            "variable",
            "console",
            "calls",
            "messages",
            "usd",
            "days",
        ],
        7,
    )
    for language in ("en", "fr", "ar"):
        with translation.override(language):
            for rule in RULES:
                assert "%" not in str(rule.message % values).replace("7%", "").replace("7 %", "")
                assert str(rule.action % values)


def test_abusive_users(settings: Any) -> None:
    settings.ABUSIVE_USERS_ALERT = 2
    calls(301, user=1)
    assert said("abusive_users") == []
    calls(300, user=2)
    assert said("abusive_users") == []
    calls(1, user=2)
    assert said("abusive_users") == [("warning", "Users with more than 300 messages today: 2.")]


def test_a_providers_errors() -> None:
    calls(19, error_flag=True)
    assert said("provider_errors") == []
    calls(361, provider="openrouter")
    # 19 of 380 are 5 %: not over it.
    assert said("provider_errors") == []
    calls(1, error_flag=True)
    assert said("provider_errors") == [("warning", "openrouter fails: 5.2% of today's 381 calls were errors.")]
    calls(20, provider="groq", error_flag=True)
    assert ("critical", "groq fails: 100.0% of today's 20 calls were errors.") in said("provider_errors")


def test_payments_that_wait(alice: User) -> None:
    paid(alice, status="pending", paid_at=None, created_at=timezone.now() - timedelta(minutes=59))
    assert said("payments_pending") == []
    paid(alice, status="pending", paid_at=None, amount_dzd=1000, created_at=timezone.now() - timedelta(minutes=61))
    assert said("payments_pending") == [("warning", "Payments pending for over an hour: 1.")]
    assert said("payment_mismatches") == []
    paid(alice, status="mismatch", paid_at=None)
    assert said("payment_mismatches") == [("critical", "Payments that wait for a decision: 1.")]


def test_a_days_loss_is_shown_and_a_months_is_told(alice: User) -> None:
    paid(alice, days_ago=20)
    assert said("margin") == []
    calls(1, cost_usd=Decimal("1.25"))
    (alert,) = alerts("margin")
    assert (str(alert.level), alert.told) == ("warning", False)
    assert alert.message == "Negative margin: today's costs are 1.25 USD above today's revenue."
    # 1590 DZD at 230 are 6.91 USD.
    calls(1, cost_usd=Decimal("6.00"))
    (alert,) = alerts("margin")
    assert (str(alert.level), alert.told) == ("critical", True)
    assert alert.message == "Negative margin: in the last 30 days costs were 0.34 USD above revenue."
    paid(alice, amount_dzd=2590)
    assert said("margin") == []


def test_the_usage_log_falls_behind(redis: Any, settings: Any) -> None:
    seconds = redis.time()[0]
    redis.xadd(STREAM, {"row": "{}"}, id=f"{(seconds - 70) * 1000}-0")
    assert said("usage_waiting")[0][0] == "warning"
    settings.USAGE_BACKLOG_LIMIT = 4
    assert said("usage_backlog") == [
        ("warning", "1 usage rows wait in Redis: 25% of USAGE_BACKLOG_LIMIT, at which calls are refused.")
    ]
    redis.delete(STREAM)
    redis.xadd(STREAM, {"row": "{}"}, id=f"{(seconds - 700) * 1000}-0")
    assert said("usage_waiting")[0][0] == "critical"
    redis.delete(STREAM)
    assert said("usage_waiting") == []


def test_dead_letters() -> None:
    DeadLetter.objects.create(stream_id="1-1", payload="{", error="?")
    assert said("dead_letters") == [("warning", "Usage rows that the table refused today: 1.")]


def test_redis_runs_full_or_cannot_write(monkeypatch: pytest.MonkeyPatch, redis: Any) -> None:
    used = redis.info("memory")["used_memory"]
    redis.config_set("maxmemory", int(used / 0.8))
    try:
        assert said("redis_memory")[0][0] == "warning"
    finally:
        redis.config_set("maxmemory", 0)
    state = ledger_watch.RedisState(writes=False, percent_full=0)
    monkeypatch.setattr(ledger_watch, "redis_state", lambda: state)
    assert said("redis") == [("critical", "Redis cannot write to its disk: what it is told now may be lost.")]


def test_standing_knows_since_when(redis: Any, travel: Callable[[float], None]) -> None:
    from iafactory.alerts.delivery import deliver

    budget.counters()
    redis.set("budget:today:usd", "46.15")
    deliver()
    began = Incident.objects.get().began_at
    travel(600)
    (alert,) = rules.standing()
    assert alert.since == began
    with translation.override("fr"):
        assert alert.as_json() == {
            "level": "critical",
            "message": "Budget quotidien à 92.3%! Basculement auto sur Groq imminent.",
            "action": "Augmenter DAILY_BUDGET_USD ou attendre minuit",
            "timestamp": began.isoformat(),
        }


def test_the_worst_is_first(redis: Any) -> None:
    DeadLetter.objects.create(stream_id="1-1", payload="{", error="?")
    budget.counters()
    redis.set("budget:today:usd", "50.5")
    assert [alert.rule.name for alert in rules.standing()] == ["budget", "dead_letters"]
    assert rules.standing()[0].message == "Daily budget at 101.0%! Paid calls are served by Groq."


def test_the_web_workers_watch_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iafactory.probes.redis_answers", lambda: False)
    watch.look_at_servers()
    assert [incident.rule for incident in Incident.objects.open()] == ["redis"]
    monkeypatch.undo()
    watch.look_at_servers()
    assert not Incident.objects.open().exists()


def test_every_scheduled_task_exists(settings: Any) -> None:
    celery.loader.import_default_modules()
    assert [
        entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values() if entry["task"] not in celery.tasks
    ] == []
