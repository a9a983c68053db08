"""Each alert is told once per level and day on each channel, and so is its end."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from billing.models import PaymentTransaction
from conftest import address_of_the_test_database
from iafactory.alerts.channels import CHANNELS
from iafactory.alerts.delivery import deliver
from iafactory.alerts.models import Incident, Message
from iafactory.alerts.rules import BUDGET
from iafactory.alerts.tasks import deliver_alerts
from iafactory.alerts.watch import look_at_servers
from iafactory.run import BASE
from tests.concurrency import at_once
from tests.standins.webhook import Answer, Listener
from usage import budget
from usage.redis import forget_clients

pytestmark = pytest.mark.django_db

DAY = 86_400


def spend(redis: Any, dollars: str) -> None:
    """As an operator does in an exercise."""
    budget.counters()
    redis.set("budget:today:usd", dollars)


def told(listener: Listener) -> list[tuple[str, str]]:
    """What arrived of the budget, by level and sentence."""
    events = [received.json["data"] for received in listener.received]
    return [(event["level"], event["message"]) for event in events if event["rule"] == "budget"]


def run(*command: str) -> str:
    output = StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()


def test_once_per_level_and_its_end(redis: Any, webhook: Listener, settings: Any) -> None:
    settings.ALERT_LANGUAGE = "en"
    spend(redis, "10")
    deliver()
    assert told(webhook) == []
    for spent, arrived in (("38", 1), ("40", 1), ("46.15", 2), ("46.15", 2), ("38", 2), ("10", 3), ("10", 3)):
        spend(redis, spent)
        deliver()
        assert len(told(webhook)) == arrived, spent
    assert told(webhook) == [
        ("warning", "Daily budget at 76.0%! Automatic switch to Groq at 100%."),
        ("critical", "Daily budget at 92.3%! Automatic switch to Groq is imminent."),
        ("recovered", "Over: Daily budget at 76.0%! Automatic switch to Groq at 100%."),
    ]


def test_what_comes_back_on_the_same_day_is_not_told_again(redis: Any, webhook: Listener) -> None:
    for spent in ("46", "10", "46", "10"):
        spend(redis, spent)
        deliver()
    assert [level for level, _ in told(webhook)] == ["critical", "recovered"]
    assert Incident.objects.filter(rule="budget").count() == 2


def test_what_lasts_is_told_once_a_day(webhook: Listener, alice: User, travel: Callable[[float], None]) -> None:
    PaymentTransaction.objects.create(
        user=alice, tier_id="student", amount_dzd=1590, created_at=timezone.now() - timedelta(hours=2)
    )
    for _ in range(2):
        deliver()
    travel(DAY)
    for _ in range(2):
        deliver()
    rules = [received.json["data"]["rule"] for received in webhook.received]
    assert rules == ["payments_pending"] * 2


def test_two_processes_at_once_send_one(redis: Any, webhook: Listener, transactional_db: None) -> None:
    spend(redis, "46")
    _done, raised = at_once(6, deliver)
    assert raised == []
    assert [level for level, _ in told(webhook)] == ["critical"]
    assert Incident.objects.filter(rule="budget").count() == 1
    spend(redis, "1")
    _done, raised = at_once(6, deliver)
    assert raised == []
    assert [level for level, _ in told(webhook)] == ["critical", "recovered"]


def test_what_could_not_be_sent_is_sent_next_time_and_only_there(redis: Any, webhook: Listener) -> None:
    webhook.answer = Answer(503)
    spend(redis, "46")
    assert deliver().failed == 1
    row = Message.objects.get(rule="budget", channel="webhook")
    assert (row.attempts, row.error, row.sent_at) == (1, "status_503", None)
    webhook.answer = Answer()
    again = deliver()
    assert (again.sent, again.failed) == (1, 0)
    assert len(told(webhook)) == 2
    assert Message.objects.get(rule="budget", channel="console").attempts == 1


def test_nobody_is_told_that_something_is_over_who_was_not_told_of_it(redis: Any, webhook: Listener) -> None:
    webhook.answer = Answer(503)
    spend(redis, "46")
    deliver()
    spend(redis, "1")
    webhook.answer = Answer()
    webhook.received.clear()
    deliver()
    assert told(webhook) == []
    assert Message.objects.get(rule="budget", channel="webhook").dropped
    assert Message.objects.filter(rule="budget", level="recovered", channel="console").exists()


def test_a_process_that_died_while_sending_is_not_waited_for(redis: Any, webhook: Listener) -> None:
    webhook.answer = Answer(503)
    spend(redis, "46")
    deliver()
    webhook.received.clear()
    webhook.answer = Answer()
    row = Message.objects.get(rule="budget", channel="webhook")
    assert row.claim()
    deliver()
    assert told(webhook) == []
    Message.objects.filter(pk=row.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    deliver()
    assert len(told(webhook)) == 1


def test_a_rule_that_cannot_be_asked_is_not_over(redis: Any, webhook: Listener, settings: Any) -> None:
    spend(redis, "46")
    deliver()
    there, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    forget_clients()
    try:
        deliver()
    finally:
        settings.REDIS_URL = there
        forget_clients()
    assert Incident.objects.open().filter(rule="budget").exists()
    assert Incident.objects.open().filter(rule="redis").exists()
    assert [level for level, _ in told(webhook)] == ["critical"]
    deliver()
    assert not Incident.objects.open().filter(rule="redis").exists()


def test_the_channels_fail_each_for_itself(redis: Any, webhook: Listener, settings: Any) -> None:
    settings.TELEGRAM_BOT_TOKEN, settings.TELEGRAM_CHAT_ID = "123:abc", "42"
    settings.TELEGRAM_BASE_URL = "http://127.0.0.1:1"
    spend(redis, "46")
    done = deliver()
    assert done.failed == 1
    assert len(told(webhook)) == 1
    assert {channel.name for channel in CHANNELS} == {"console", "email", "webhook", "telegram", "whatsapp"}


def test_check_budget_says_the_level_and_sends_once(redis: Any, webhook: Listener, settings: Any) -> None:
    settings.ALERT_LANGUAGE = "en"
    spend(redis, "46.15")
    said = run("check_budget", "--dry-run")
    assert "critical, 92.3% (46.150000 of 50.0 USD spent, 0.000000 held)." in said
    assert "Nothing was sent (dry run)." in said
    assert told(webhook) == []
    assert "critical: Daily budget at 92.3%!" in run("check_budget")
    assert "0 messages sent, 0 could not be sent." in run("check_budget")
    assert len(told(webhook)) == 1


def test_check_budget_fails_where_it_could_not_send(redis: Any, webhook: Listener) -> None:
    webhook.answer = Answer(500)
    spend(redis, "46")
    with pytest.raises(CommandError, match="tried again"):
        run("check_budget")


def test_the_budget_of_a_day_is_over_at_midnight(
    redis: Any, webhook: Listener, travel: Callable[[float], None]
) -> None:
    spend(redis, "46")
    deliver()
    travel(DAY)
    deliver()
    assert [level for level, _ in told(webhook)] == ["critical", "recovered"]
    spend(redis, "46")
    deliver()
    assert [level for level, _ in told(webhook)] == ["critical", "recovered", "critical"]


@pytest.mark.parametrize(
    ("spent", "level"),
    [("37.4", "ok"), ("37.5", "warning"), ("44.97", "warning"), ("44.98", "critical"), ("60", "critical")],
)
def test_the_levels_of_the_budget(redis: Any, spent: str, level: str) -> None:
    spend(redis, spent)
    (reading,) = BUDGET.measure()
    assert (BUDGET.level(reading.amount) or "ok") == level


def test_a_postgres_that_cannot_be_written_to_is_told(redis: Any, webhook: Listener) -> None:
    budget.counters()
    for _ in range(2):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            spend(redis, "46")
            deliver()
            transaction.set_rollback(True)
    spend(redis, "1")
    deliver()
    arrived = [received.json["data"] for received in webhook.received]
    assert [(event["rule"], event["level"]) for event in arrived] == [
        ("postgres", "critical"),
        ("postgres", "recovered"),
    ]


def test_who_watches_the_servers_leaves_the_rest_alone(redis: Any, webhook: Listener) -> None:
    webhook.answer = Answer(503)
    spend(redis, "46")
    deliver()
    webhook.received.clear()
    look_at_servers()
    assert webhook.received == []


def test_the_task_of_every_quarter_of_an_hour(redis: Any, webhook: Listener) -> None:
    spend(redis, "46")
    deliver_alerts()
    assert [level for level, _ in told(webhook)] == ["critical"]


def check_budget(listener: Listener, folder: Path, postgres: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "POSTGRES_URL": postgres,
        "ALERT_WEBHOOK_URL": f"{listener.url}/alerts",
        "ALERT_LANGUAGE": "en",
        "VAR_DIR": str(folder),
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", "check_budget"], cwd=BASE, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_that_postgres_is_away_is_told_without_it(listener: Listener, tmp_path: Path, transactional_db: None) -> None:
    away, there = "postgresql://nobody@127.0.0.1:1/none", address_of_the_test_database()
    two = [check_budget(listener, tmp_path, away) for _ in range(2)]
    assert "critical: PostgreSQL does not answer." in two[0].communicate(timeout=100)[0]
    two[1].communicate(timeout=100)
    arrived = [received.json["data"] for received in listener.received]
    assert [(event["rule"], event["level"]) for event in arrived] == [("postgres", "critical")]
    for _ in range(2):
        check_budget(listener, tmp_path, there).communicate(timeout=100)
    arrived = [received.json["data"] for received in listener.received]
    assert [(event["rule"], event["level"]) for event in arrived] == [
        ("postgres", "critical"),
        ("postgres", "recovered"),
    ]
    assert list((tmp_path / "alerts").iterdir()) == []
