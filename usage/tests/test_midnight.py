"""The day is Algiers's, and the clock ends it: not an expiry, and not this machine's zone."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from usage import budget
from usage.admission import admit
from usage.clock import zone
from usage.drainer import drain
from usage.errors import QuotaExceeded
from usage.models import UsageLog

from .calls import CHEAP, FREE, ask, spend

pytestmark = pytest.mark.django_db

Travel = Callable[[float], None]


def to_just_before_midnight(travel: Travel, seconds: float = 2) -> date:
    now = budget.counters()
    travel(now.resets_at - now.now - seconds)
    return now.day


def test_midnight_in_algiers_begins_a_new_day(travel: Travel) -> None:
    now = budget.counters()
    # 23:00 UTC is midnight there.
    assert now.resets_at % 86400 == 23 * 3600
    day = to_just_before_midnight(travel)
    assert budget.counters().day == day
    travel(3)
    assert budget.counters().day == day + timedelta(days=1)


def test_the_quota_ends_with_the_day(travel: Travel) -> None:
    to_just_before_midnight(travel)
    for _ in range(3):
        admit(ask(FREE, offers=(CHEAP,)))
    with pytest.raises(QuotaExceeded) as refusal:
        admit(ask(FREE, offers=(CHEAP,)))
    assert refusal.value.limits is not None
    assert 0 < refusal.value.limits.until_midnight <= 2
    travel(3)
    admit(ask(FREE, offers=(CHEAP,)))


def test_the_counter_ends_with_the_day_even_when_an_operator_set_it(travel: Travel, redis: Any) -> None:
    day = to_just_before_midnight(travel)
    redis.set("budget:today:usd", "51.0")
    assert admit(ask()).start == 1
    travel(3)
    assert redis.get("budget:today:usd") == "51.0"
    assert admit(ask()).start == 0
    assert redis.get("budget:today:usd") == "0.000000000"
    assert redis.get(f"budget:{day}:usd") == "51.0"


def test_a_call_belongs_to_the_day_of_its_admission(travel: Travel, redis: Any) -> None:
    day = to_just_before_midnight(travel)
    ticket, failed = admit(ask()), admit(ask())
    travel(3)
    spend(admit(ask()), 5)
    spend(ticket, 7)
    failed.let_go()
    failed.give_back()
    assert (budget.counters(1).spent, budget.counters(1).held, budget.counters(1).messages) == (5, 0, 1)
    assert redis.get(f"budget:{day}:usd") == "0.000000007"
    assert redis.hget(f"quota:{day}", "1") == "1"
    drain()
    assert [row.created_at.astimezone(zone()).date() for row in UsageLog.objects.order_by("cost_usd")] == [
        day + timedelta(days=1),
        day,
    ]


def test_a_further_attempt_after_midnight_is_held_in_the_old_day(travel: Travel, redis: Any) -> None:
    day = to_just_before_midnight(travel)
    ticket = admit(ask(offers=(ask().offers[0], ask().offers[0], CHEAP)))
    travel(3)
    budget.counters()
    with ticket.attempt(0) as attempt:
        attempt.refuse("overloaded (500)")
    with ticket.attempt(1) as attempt:
        assert int(redis.get(f"budget:{day}:held")) == attempt.hold
        attempt.unsent()
    assert budget.counters().held == 0


def test_the_day_does_not_go_back_with_the_clock(travel: Travel) -> None:
    day = to_just_before_midnight(travel)
    travel(3)
    assert budget.counters().day == day + timedelta(days=1)
    travel(-10)
    assert budget.counters().day == day + timedelta(days=1)
