"""The ledger: rows reach the table once, and the counter can always be built again from it."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from usage import budget
from usage.admission import Usage, admit
from usage.drainer import drain
from usage.flights import End
from usage.ledger import STREAM, day_total
from usage.models import BudgetReset, DeadLetter, LedgerState, UsageLog
from usage.process import this_process

from .calls import ask, spend

pytestmark = pytest.mark.django_db


def test_rows_leave_the_stream_for_the_table(redis: Any) -> None:
    for _ in range(3):
        spend(admit(ask()), 1_000)
    assert drain() == 3
    assert UsageLog.objects.count() == 3
    assert redis.xlen(STREAM) == 0
    assert redis.get("usage:mark") == LedgerState.objects.get().last_stream_id


def test_a_batch_written_twice_is_there_once(redis: Any) -> None:
    spend(admit(ask()), 1_000)
    [(_stream_id, fields)] = redis.xrange(STREAM)
    drain()
    redis.xadd(STREAM, fields)
    assert drain() == 1
    assert UsageLog.objects.count() == 1


def test_a_bad_row_is_dead_lettered_and_in_nobodys_way(redis: Any) -> None:
    spend(admit(ask()), 1_000)
    redis.xadd(STREAM, {"day": "2026-11-22", "user": 1, "moved": 0, "row": "{not json"})
    redis.xadd(STREAM, {"day": "2026-11-22", "user": 1, "moved": 0, "row": '{"request_id": "no uuid", "attempt": 1}'})
    redis.xadd(STREAM, {"unheard": "of"})
    spend(admit(ask()), 1_000)
    assert drain() == 5
    assert UsageLog.objects.count() == 2
    assert DeadLetter.objects.count() == 3
    assert drain() == 0


def test_deleting_the_counter_builds_it_again_from_table_and_stream(redis: Any) -> None:
    spend(admit(ask()), 1_000_000)
    drain()
    spend(admit(ask()), 500_000)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO llm_usage_logs (user_id, provider, model, cost_usd) VALUES (1, 'groq', 'x', 2.5)")
    redis.delete("budget:today:usd")
    assert budget.counters().spent == 2_501_500_000


def test_rows_of_other_days_do_not_count(redis: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm_usage_logs (user_id, provider, model, cost_usd, created_at) "
            "VALUES (1, 'groq', 'x', 2.5, now() - interval '1 day'), (1, 'groq', 'x', 2.5, now() + interval '1 day')"
        )
    admit(ask())
    redis.delete("budget:today:usd")
    assert budget.counters().spent == 0


def test_holds_are_not_lost_when_the_counter_is(redis: Any) -> None:
    ticket = admit(ask())
    redis.delete("budget:today:usd", f"budget:{ticket.day}:held")
    assert budget.counters().held == 20_000_000


def test_a_settle_never_makes_a_missing_counter(redis: Any) -> None:
    ticket = admit(ask())
    redis.delete("budget:today:usd")
    spend(ticket, 3_000)
    assert redis.get("budget:today:usd") is None
    assert budget.counters().spent == 3_000


def test_a_settle_repeated_counts_once(redis: Any) -> None:
    ticket = admit(ask())
    flight = this_process().in_flight[f"{ticket.request_id}:1"]
    spend(ticket, 3_000)
    this_process().settle(flight, End(3_000, counted=True))
    assert budget.counters().spent == 3_000
    assert redis.xlen(STREAM) == 1


def test_a_late_usage_replaces_the_estimate_and_moves_the_counter(redis: Any) -> None:
    ticket = admit(ask())
    flight = this_process().in_flight[f"{ticket.request_id}:1"]
    with ticket.attempt(0) as attempt:
        attempt.unknown("timeout")
    drain()
    assert budget.counters(1).spent == 20_000_000
    this_process().in_flight[flight.field] = flight
    attempt.settle(Usage(10, 20, 4_000_000, 4_000_000, "stop"))
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (4_000_000, 4_000_000)
    drain()
    row = UsageLog.objects.get()
    assert (row.cost_usd, row.estimated, row.error_flag) == (Decimal("0.004"), False, False)
    total = day_total(budget.counters().day)
    assert total is not None
    assert total.amount == 4_000_000


def test_an_estimate_and_its_late_usage_in_one_batch() -> None:
    ticket = admit(ask())
    flight = this_process().in_flight[f"{ticket.request_id}:1"]
    with ticket.attempt(0) as attempt:
        attempt.unknown("timeout")
    this_process().in_flight[flight.field] = flight
    attempt.settle(Usage(10, 20, 4_000_000, 4_000_000, "stop"))
    assert drain() == 2
    assert UsageLog.objects.get().cost_usd == Decimal("0.004")


def test_a_reset_begins_again_and_says_who_and_what_was(redis: Any) -> None:
    spend(admit(ask()), 1_000_000)
    drain()
    spend(admit(ask()), 500_000)
    budget.reset(by="sara")
    row = BudgetReset.objects.get()
    assert (row.by, row.before_usd, row.ledger_usd) == ("sara", Decimal("0.0015"), Decimal("0.0015"))
    assert budget.counters().spent == 0
    spend(admit(ask()), 200)
    # Rebuilt: what the ledger says now, less what it said then.
    redis.delete("budget:today:usd")
    assert budget.counters().spent == 200


def test_a_backlog_refuses_rather_than_drop(settings: Any) -> None:
    from usage.errors import Backlogged

    settings.USAGE_BACKLOG_LIMIT = 1
    spend(admit(ask()), 1_000)
    with pytest.raises(Backlogged):
        admit(ask())
    drain()
    admit(ask())
