"""A settlement has two amounts: the operator's (what it cost) and the payer's (what the customer is charged)."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection

from billing.entitlements import Entitlement
from billing.money import NANO, dollars
from usage import budget
from usage.admission import Attempt, Ticket, Usage, admit
from usage.drainer import drain
from usage.errors import BudgetExceeded
from usage.models import UsageLog
from usage.process import Process, this_process
from usage.recovery import recover

from . import rows as some_rows
from .calls import CHEAP, GOOD, ask

pytestmark = pytest.mark.django_db

HOLD = GOOD.ceiling
# A daily amount of 1 USD: fifty holds.
PRO = Entitlement("pro", 20, 1000, 1000, 0, NANO)


def one_attempt() -> tuple[Ticket, Attempt]:
    ticket = admit(ask(PRO))
    return ticket, ticket.attempt(ticket.start)


def charged() -> list[tuple[Decimal, Decimal | None]]:
    while drain():
        pass
    return [(row.cost_usd, row.charged_usd) for row in UsageLog.objects.order_by("created_at", "attempt")]


def test_a_usable_answer_is_charged_what_it_cost() -> None:
    _, attempt = one_attempt()
    attempt.settle(Usage(10, 20, 1_000_000, 1_000_000, "stop"))
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (1_000_000, 1_000_000)
    assert charged() == [(Decimal("0.001"), Decimal("0.001"))]


def test_an_unusable_answer_costs_the_operator_its_hold_and_the_customer_nothing() -> None:
    _, attempt = one_attempt()
    attempt.unknown("unreadable")
    now = budget.counters(1)
    assert (now.spent, now.user_spent, now.held, now.user_held) == (HOLD, 0, 0, 0)
    assert charged() == [(dollars(HOLD), Decimal(0))]


def test_an_unusable_answer_costs_what_the_provider_told_where_it_told() -> None:
    _, attempt = one_attempt()
    attempt.unknown("empty", Usage(10, 0, 25_000, 25_000))
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (25_000, 0)
    assert charged() == [(Decimal("0.000025"), Decimal(0))]
    assert not UsageLog.objects.get().estimated


def test_a_day_of_unreadable_answers_takes_nothing_of_the_customers_day() -> None:
    """Each holds 0.02 of a daily 1.00 USD: fifty of them would have used it up."""
    for _ in range(50):
        admit(ask(PRO)).attempt(0).unknown("unreadable")
    ticket = admit(ask(PRO))
    assert (ticket.start, ticket.budget_scope) == (0, None)


def test_a_hang_up_is_charged_as_before() -> None:
    ticket = admit(ask(PRO))
    with pytest.raises(GeneratorExit), ticket.attempt(0):
        raise GeneratorExit
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (HOLD, HOLD)


def test_a_fault_of_our_own_charges_the_customer_nothing() -> None:
    ticket = admit(ask(PRO))
    with pytest.raises(ZeroDivisionError), ticket.attempt(0):
        _ = 1 / 0
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (HOLD, 0)


def test_what_is_waived_in_a_day_is_bounded_by_the_daily_amount() -> None:
    """A customer who can make answers fail on purpose costs the operator at most the daily amount once more."""
    for _ in range(50):
        admit(ask(PRO)).attempt(0).unknown("timeout")
    assert budget.counters(1).user_spent == 0
    admit(ask(PRO)).attempt(0).unknown("timeout")
    assert budget.counters(1).user_spent == HOLD
    assert charged()[-1] == (dollars(HOLD), dollars(HOLD))


def test_the_bound_of_waivers_survives_a_rebuild(redis: Any) -> None:
    for _ in range(30):
        admit(ask(PRO)).attempt(0).unknown("timeout")
    while drain():
        pass
    for _ in range(20):
        admit(ask(PRO)).attempt(0).unknown("timeout")
    lose_the_counters(redis)
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (50 * HOLD, 0)
    admit(ask(PRO)).attempt(0).unknown("timeout")
    assert budget.counters(1).user_spent == HOLD


def test_a_rebuild_tells_the_two_amounts_apart(redis: Any) -> None:
    one_attempt()[1].unknown("timeout")
    one_attempt()[1].settle(Usage(cost=3_000))
    while drain():
        pass
    one_attempt()[1].unknown("timeout")
    one_attempt()[1].settle(Usage(cost=4_000))
    lose_the_counters(redis)
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (2 * HOLD + 7_000, 7_000)


@contextmanager
def in_the_name_of(process: Process) -> Iterator[None]:
    with patch("usage.admission.this_process", lambda: process):
        yield


def taken_for_dead(travel: Any) -> tuple[Process, Attempt]:
    """A process that admitted a call and then showed no life for longer than its lease."""
    stalled = Process()
    stalled.tick()
    with in_the_name_of(stalled):
        attempt = admit(ask(PRO)).attempt(0)
    for _ in range(5):
        travel(5)
        this_process().tick()
    return stalled, attempt


def lose_the_counters(redis: Any) -> None:
    """Redis keeps the stream and the holds, and its counters are not to be trusted."""
    redis.delete("budget:today:usd", f"budget:{budget.counters().day}:users")
    redis.hset("budget:redis", mapping={"run": "an earlier one", "dataset": "another"})
    recover()


def test_a_dead_process_charges_its_customers_nothing(travel: Any) -> None:
    taken_for_dead(travel)
    now = budget.counters(1)
    assert (now.spent, now.held, now.user_spent, now.user_held) == (HOLD, 0, 0, 0)
    assert charged() == [(dollars(HOLD), Decimal(0))]


def test_the_late_truth_of_a_process_taken_for_dead_corrects_both_amounts(travel: Any) -> None:
    stalled, attempt = taken_for_dead(travel)
    with in_the_name_of(stalled):
        attempt.settle(Usage(10, 20, 5_000_000, 5_000_000, "stop"))
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (5_000_000, 5_000_000)
    assert charged() == [(Decimal("0.005"), Decimal("0.005"))]


def test_a_late_truth_never_charges_more_than_is_left_of_the_day(travel: Any) -> None:
    """Its hold was let go at the sweep, and other calls took the room."""
    stalled, attempt = taken_for_dead(travel)
    for _ in range(49):
        one_attempt()[1].settle(Usage(cost=HOLD))
    one_attempt()[1].settle(Usage(cost=HOLD - 7_000))
    with in_the_name_of(stalled):
        attempt.settle(Usage(cost=HOLD))
    assert budget.counters(1).user_spent == PRO.user_daily_budget
    assert budget.counters(1).spent == 51 * HOLD - 7_000


def test_a_late_truth_corrects_the_operators_amount_of_an_unusable_answer() -> None:
    ticket, attempt = one_attempt()
    flight = this_process().in_flight[f"{ticket.request_id}:1"]
    attempt.unknown("timeout")
    drain()
    this_process().in_flight[flight.field] = flight
    attempt.unknown("timeout", Usage(10, 20, 4_000_000, 4_000_000))
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (4_000_000, 0)
    assert charged() == [(Decimal("0.004"), Decimal(0))]


def test_an_estimate_of_the_release_before_was_charged_its_cost(redis: Any) -> None:
    """Such an estimate is one number in Redis."""
    ticket, attempt = one_attempt()
    flight = this_process().in_flight[f"{ticket.request_id}:1"]
    with pytest.raises(GeneratorExit), attempt:
        raise GeneratorExit
    redis.set(f"budget:resolved:{flight.field}", str(HOLD))
    this_process().in_flight[flight.field] = flight
    attempt.settle(Usage(cost=4_000_000))
    assert (budget.counters(1).spent, budget.counters(1).user_spent) == (4_000_000, 4_000_000)


def test_rows_of_an_operators_sql_are_charged_their_cost(redis: Any) -> None:
    some_rows.insert(1, cost_usd=Decimal("0.25"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT charged_usd FROM llm_usage_logs")
        assert cursor.fetchone() == (None,)
    budget.counters(1)
    lose_the_counters(redis)
    assert budget.counters(1).user_spent == 250_000_000


def test_the_operators_budget_counts_what_the_customer_is_not_charged(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(3 * HOLD)
    for _ in range(3):
        one_attempt()[1].unknown("unreadable")
    ticket = admit(ask(PRO))
    assert (ticket.asked.offers[ticket.start], ticket.budget_scope) == (CHEAP, "global")
    with pytest.raises(BudgetExceeded):
        ticket.attempt(0)
