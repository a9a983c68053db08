"""Every attempt ends in exactly one of: settled, refused, unknown, or unsent."""

from decimal import Decimal
from typing import Any

import pytest

from billing.money import dollars
from usage import budget, watch
from usage.admission import Usage, admit
from usage.drainer import drain
from usage.errors import BudgetExceeded
from usage.models import UsageLog

from .calls import CHEAP, GOOD, ask, spend

pytestmark = pytest.mark.django_db


def rows() -> list[UsageLog]:
    while drain():
        pass
    return list(UsageLog.objects.order_by("id"))


def test_settled() -> None:
    ticket = admit(ask())
    spend(ticket, 1_234_567)
    (row,) = rows()
    assert str(row.request_id) == ticket.request_id
    assert (row.attempt, row.provider, row.model, row.tier) == (1, "openrouter", "openai/gpt-4o", "pro")
    assert (row.tokens_input, row.tokens_output, str(row.cost_usd)) == (10, 20, "0.001234567")
    assert (row.error_flag, row.estimated, row.counted) == (False, False, True)


def test_refused_is_a_row_that_costs_nothing() -> None:
    ticket = admit(ask())
    with ticket.attempt(0) as attempt:
        attempt.refuse("overloaded (503)")
    (row,) = rows()
    assert row.cost_usd == 0
    assert (row.error_flag, row.error_message, row.counted) == (True, "overloaded (503)", False)
    assert (budget.counters(1).spent, budget.counters(1).held) == (0, 0)


def test_unknown_costs_its_whole_hold() -> None:
    ticket = admit(ask())
    with ticket.attempt(0) as attempt:
        attempt.unknown("timeout")
    (row,) = rows()
    assert (str(row.cost_usd), row.estimated, row.error_message) == ("0.020000000", True, "timeout")
    assert budget.counters(1).spent == GOOD.ceiling


def test_what_nobody_ended_is_unknown() -> None:
    ticket = admit(ask())
    with pytest.raises(ZeroDivisionError), ticket.attempt(0):
        _ = 1 / 0
    (row,) = rows()
    assert (row.estimated, row.error_message) == (True, "internal_error")


def test_unsent_leaves_nothing() -> None:
    ticket = admit(ask())
    with ticket.attempt(0) as attempt:
        attempt.unsent()
    assert rows() == []
    assert (budget.counters(1).spent, budget.counters(1).held) == (0, 0)


def test_a_fallback_is_an_attempt_of_its_own() -> None:
    ticket = admit(ask())
    with ticket.attempt(0) as attempt:
        attempt.refuse("overloaded (500)")
    with ticket.attempt(1) as attempt:
        attempt.settle(Usage(1, 2, 0, 900, "stop"))
    assert [(row.attempt, row.provider, row.error_flag) for row in rows()] == [
        (1, "openrouter", True),
        (2, "groq", False),
    ]


def test_a_first_hold_that_is_passed_over_is_let_go() -> None:
    ticket = admit(ask())
    with ticket.attempt(1) as attempt:
        attempt.settle(Usage())
    assert [row.provider for row in rows()] == ["groq"]
    assert budget.counters(1).held == 0


def test_a_further_attempt_needs_room_of_its_own(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(GOOD.ceiling)
    ticket = admit(ask(offers=(GOOD, GOOD, CHEAP)))
    with ticket.attempt(0) as attempt:
        attempt.unknown("timeout")
    with pytest.raises(BudgetExceeded):
        ticket.attempt(1)


def test_a_bill_above_its_hold_is_settled_as_billed_and_told(caplog: pytest.LogCaptureFixture) -> None:
    spend(admit(ask()), GOOD.ceiling + 1)
    assert budget.counters(1).spent == GOOD.ceiling + 1
    assert "above its hold" in caplog.text


def test_bills_above_their_holds_are_counted_for_the_alert() -> None:
    day = budget.counters().day
    assert watch.overruns(day) == watch.Overruns(0, Decimal(0))
    spend(admit(ask()), GOOD.ceiling)
    spend(admit(ask()), GOOD.ceiling + 1_000_000)
    # A free route holds nothing: whatever it says it cost is not above anything.
    with admit(ask(offers=(CHEAP,))).attempt(0) as attempt:
        attempt.settle(Usage(10, 20, 0, 5, "stop"))
    assert watch.overruns(day) == watch.Overruns(1, Decimal("0.001000000"))
