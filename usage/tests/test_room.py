"""How much of an offer the money allows: whole, clamped to the token, or not at all; and out of whose room."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from billing.entitlements import Entitlement
from billing.money import NANO, dollars
from usage import budget
from usage.admission import Offer, Usage, admit
from usage.errors import BudgetExceeded

from .calls import CHEAP, GOOD, STUDENT, ask

pytestmark = pytest.mark.django_db

# No quota refuses a call here.
MANY = Entitlement("enterprise", 30, 1_000_000, 1_000_000, 0, None)
MILLION = 1_000_000


def offer(*, input_cost: int, price: int, tokens: int = 2000, fewest: int = 256) -> Offer:
    """An offer at `price` nano-dollars per million tokens of output."""
    ceiling = input_cost + -(-tokens * price // MILLION)
    return Offer("openrouter", "a", tokens, ceiling=ceiling, input=input_cost, output=price, min_tokens=fewest)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    room=st.integers(1, 50_000_000),
    input_cost=st.integers(0, 20_000_000),
    price=st.integers(1, 100) | st.integers(10 * NANO - 500, 80 * NANO),
)
def test_a_hold_never_passes_the_room_and_leaves_less_than_two_tokens_of_it(
    room: int, input_cost: int, price: int
) -> None:
    made = offer(input_cost=input_cost, price=price)
    ticket = admit(ask(replace(MANY, user_daily_budget=room), offers=(made, CHEAP)))
    hold, tokens = ticket._first.hold, ticket._first.max_tokens  # type: ignore[union-attr]
    ticket.let_go()
    if ticket.start == 1:
        assert input_cost + Fraction(256 * price, MILLION) > room - 2
        return
    assert hold <= room
    assert hold >= input_cost + Fraction(tokens * price, MILLION)
    assert hold == made.ceiling or room - hold <= 2 * Fraction(price, MILLION) + 2


def test_the_room_that_fits_exactly_is_given_whole(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(GOOD.ceiling)
    attempt = admit(ask()).attempt(0)
    assert (attempt.hold, attempt.max_tokens) == (GOOD.ceiling, GOOD.max_tokens)


def test_a_nano_dollar_less_is_clamped_by_a_token(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(GOOD.ceiling - 1)
    attempt = admit(ask()).attempt(0)
    assert (attempt.hold, attempt.max_tokens) == (19_990_000, 1999)


def test_the_fewest_tokens_that_are_allowed_are_allowed(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(256 * 10_000 + 1)
    attempt = admit(ask()).attempt(0)
    assert (attempt.hold, attempt.max_tokens) == (2_560_000, 256)


def test_one_token_fewer_is_not(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(256 * 10_000)
    assert admit(ask()).start == 1


def test_a_clamped_hold_pays_for_the_input_too(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal("0.01")
    attempt = admit(ask(offers=(offer(input_cost=4_000_000, price=10 * NANO), CHEAP))).attempt(0)
    assert (attempt.hold, attempt.max_tokens) == (9_990_000, 599)


def test_what_a_user_holds_counts_against_the_users_own_day() -> None:
    own = replace(MANY, user_daily_budget=GOOD.ceiling)
    assert admit(ask(own)).start == 0
    assert (admit(ask(own)).start, admit(ask(own, user=2)).start) == (1, 0)


def test_what_others_hold_counts_against_the_day(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(GOOD.ceiling)
    assert admit(ask(user=1)).start == 0
    ticket = admit(ask(user=2))
    assert (ticket.start, ticket.budget_scope) == (1, "global")


def test_a_turn_of_the_cheap_lane_goes_out_on_it() -> None:
    tickets = [admit(ask(STUDENT)) for _ in range(20)]
    assert {(ticket.good, ticket.start) for ticket in tickets} == {(False, 1), (True, 0)}


def test_a_further_attempt_after_midnight_needs_the_room_of_the_calls_own_day(settings: Any, travel: Any) -> None:
    settings.DAILY_BUDGET_USD = dollars(GOOD.ceiling)
    now = budget.counters()
    travel(now.resets_at - now.now - 2)
    ticket = admit(ask(offers=(GOOD, GOOD, CHEAP)))
    travel(3)
    ticket.attempt(0).settle(Usage(cost=GOOD.ceiling))
    with pytest.raises(BudgetExceeded):
        ticket.attempt(1)
    assert admit(ask()).start == 0
