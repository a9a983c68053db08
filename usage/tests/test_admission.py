"""Admission decides ban, limits, split and hold at once, and writes only when all agree."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from tests.concurrency import at_once
from usage import budget
from usage.admission import admit
from usage.bans import lift_ban, soft_ban
from usage.errors import Banned, BudgetExceeded, QuotaExceeded, RateLimited

from .calls import CHEAP, FREE, GOOD, PRO, STUDENT, WEALTHY, ask, spend

pytestmark = pytest.mark.django_db


def test_an_admitted_call_holds_its_ceiling_and_settles_at_its_cost() -> None:
    ticket = admit(ask())
    assert (budget.counters(1).spent, budget.counters(1).held) == (0, GOOD.ceiling)
    spend(ticket, 1_234_567)
    now = budget.counters(1)
    assert (now.spent, now.held, now.user_spent, now.user_held) == (1_234_567, 0, 1_234_567, 0)


def test_the_counter_reads_as_dollars(redis: Any) -> None:
    spend(admit(ask()), 1_500_000_000)
    assert redis.get("budget:today:usd") == "1.500000000"


def test_the_fourth_message_of_the_day_is_refused() -> None:
    for _ in range(3):
        admit(ask(FREE, offers=(CHEAP,)))
    with pytest.raises(QuotaExceeded) as refusal:
        admit(ask(FREE, offers=(CHEAP,)))
    assert refusal.value.limits is not None
    assert 0 < refusal.value.limits.until_midnight <= 86400


def test_a_message_given_back_can_be_sent_again() -> None:
    tickets = [admit(ask(FREE, offers=(CHEAP,))) for _ in range(3)]
    tickets[0].give_back()
    tickets[0].give_back()
    admit(ask(FREE, offers=(CHEAP,)))
    with pytest.raises(QuotaExceeded):
        admit(ask(FREE, offers=(CHEAP,)))


def test_twelve_at_once_on_a_quota_of_three() -> None:
    budget.counters()  # attached, in the transaction of this thread
    admitted, refused = at_once(12, lambda: admit(ask(FREE, offers=(CHEAP,))))
    assert len(admitted) == 3
    assert {type(error) for error in refused} <= {QuotaExceeded, RateLimited}


def test_no_sliding_minute_holds_more_than_the_limit(travel: Callable[[float], None]) -> None:
    limited = replace(PRO, requests_per_minute=5)
    for _ in range(5):
        admit(ask(limited, offers=(CHEAP,)))
        travel(10)
    with pytest.raises(RateLimited) as refusal:
        admit(ask(limited, offers=(CHEAP,)))
    assert refusal.value.limits is not None
    # The first of the five was 50 s ago; refused ones do not count.
    assert 9 < refusal.value.limits.rate_reset <= 10
    travel(10.1)
    admit(ask(limited, offers=(CHEAP,)))
    with pytest.raises(RateLimited):
        admit(ask(limited, offers=(CHEAP,)))


def test_any_hundred_turns_in_a_row_split_exactly() -> None:
    unlimited = replace(STUDENT, messages_per_day=1000)
    good = [admit(ask(unlimited, offers=(replace(GOOD, ceiling=1), CHEAP))).good for _ in range(250)]
    assert {sum(good[begin : begin + 100]) for begin in range(150)} == {15}


def test_a_refused_call_takes_no_turn() -> None:
    barely = replace(STUDENT, requests_per_minute=6)
    for _ in range(6):
        assert not admit(ask(barely)).good
    with pytest.raises(RateLimited):
        admit(ask(barely))
    # The seventh turn of a 15 % share is the first good one, and still to come.
    assert admit(ask(replace(barely, requests_per_minute=7))).good


def test_a_ban_bites_at_once_and_lifts(alice: User, sara: User) -> None:
    soft_ban(user=alice, reason="abuse", by=sara)
    with pytest.raises(Banned):
        admit(ask(user=alice.pk))
    assert lift_ban(user=alice, by=sara)
    admit(ask(user=alice.pk))


def test_what_does_not_fit_is_clamped(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal("0.01")
    ticket = admit(ask())
    with ticket.attempt(ticket.start) as attempt:
        assert ticket.start == 0
        assert 990 <= attempt.max_tokens <= 1000
        assert attempt.hold <= 10_000_000
        attempt.unsent()


def test_not_clamped_under_256_tokens_but_sent_to_groq(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal("0.0025")
    ticket = admit(ask())
    assert (ticket.start, ticket.budget_scope) == (1, "global")


def test_a_users_own_day_sends_to_groq_too() -> None:
    ticket = admit(ask(replace(PRO, user_daily_budget=1000)))
    assert (ticket.start, ticket.budget_scope) == (1, "user")


def test_with_no_free_route_the_budget_refuses_and_nothing_counts(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal(0)
    with pytest.raises(BudgetExceeded):
        admit(ask(offers=(GOOD,)))
    assert budget.counters(1).messages == 0


def test_an_operator_may_set_the_counter_and_the_next_call_knows(redis: Any) -> None:
    admit(ask())
    redis.set("budget:today:usd", "51.0")
    ticket = admit(ask())
    assert (ticket.start, ticket.budget_scope) == (1, "global")


@pytest.mark.parametrize("garbage", ["", "lots", "nan", "-5", "1e3"])
def test_a_counter_that_is_no_amount_is_built_again_from_the_ledger(redis: Any, garbage: str) -> None:
    spend(admit(ask()), 7_000_000)
    redis.set("budget:today:usd", garbage)
    admit(ask())
    assert redis.get("budget:today:usd") == "0.007000000"


def test_a_hundred_at_once_never_hold_more_than_the_budget(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal("0.50")
    budget.counters()  # attached, in the transaction of this thread
    tickets, _ = at_once(100, lambda: admit(ask(WEALTHY)))
    held = budget.counters(1).held
    assert 350_000_000 < held <= 500_000_000
    assert len([ticket for ticket in tickets if ticket.start == 0]) == 25
