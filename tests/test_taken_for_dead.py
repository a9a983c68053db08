"""Who is dead, and who could only not show life: nobody is settled behind the back of a living process."""

from typing import Any

import pytest

from tests.test_redis_comes_back import Server, let_pass, other, server, under_way
from usage import budget
from usage.admission import admit
from usage.drainer import drain
from usage.flights import End
from usage.models import UsageLog
from usage.process import ROUND_TICKS, Process, this_process
from usage.tests.calls import GOOD, ask

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["other", "server"]

FAILED = End(says={"error_flag": True, "error_message": "overloaded (500)"})


def test_while_redis_was_frozen_nobody_died(server: Server, other: Process, settings: Any) -> None:
    under_way(other)
    let_pass(settings, 1, other)
    # Nobody could tick: the first one that can again must not sweep the others.
    settings.CLOCK_SHIFT_SECONDS += 40
    for _ in range(3):
        this_process().tick()
    assert (budget.counters(1).spent, budget.counters(1).held) == (0, GOOD.ceiling)
    # From here on the other one had its chance.
    let_pass(settings, 21)
    assert (budget.counters(1).spent, budget.counters(1).held) == (GOOD.ceiling, 0)


def test_while_redis_was_away_nobody_died(server: Server, other: Process, settings: Any) -> None:
    flight = under_way(other)
    let_pass(settings, 1, other)
    server.kill()
    settings.CLOCK_SHIFT_SECONDS += 40
    server.start()
    for _ in range(3):
        this_process().tick()
    assert budget.counters(1).held == GOOD.ceiling
    other.tick()
    other.settle(flight, FAILED)
    other.give_back(flight.request_id)
    assert (budget.counters(1).spent, budget.counters(1).held, budget.counters(1).messages) == (0, 0, 0)


def test_a_freeze_does_not_open_the_paid_route_before_all_have_handed_in(
    server: Server, other: Process, settings: Any
) -> None:
    under_way(other)
    let_pass(settings, 1, other)
    server.comes_back_empty()
    this_process().tick()
    settings.CLOCK_SHIFT_SECONDS += 40
    this_process().tick()
    assert not budget.counters().paid_open
    other.tick()
    assert (budget.counters().paid_open, budget.counters().held) == (True, GOOD.ceiling)


def test_one_that_wakes_up_gives_back_what_failed(server: Server, other: Process, settings: Any) -> None:
    flight = under_way(other)
    let_pass(settings, 21)
    assert budget.counters(1).spent == GOOD.ceiling
    other.settle(flight, FAILED)
    other.give_back(flight.request_id)
    now = budget.counters(1)
    assert (now.spent, now.held, now.messages) == (0, 0, 0)
    drain()
    row = UsageLog.objects.get()
    assert (int(row.cost_usd), row.estimated, row.counted) == (0, False, False)


@pytest.mark.parametrize("settles_again", [False, True])
def test_one_that_wakes_up_counts_what_it_cut_short(
    server: Server, other: Process, settings: Any, *, settles_again: bool
) -> None:
    """Its word is no better than the estimate in the table, and still an answer left: nobody may give that back."""
    flight = under_way(other)
    let_pass(settings, 21)
    for _ in range(1 + settles_again):
        other.settle(flight, End(5, estimated=True, counted=True))
    for _ in range(3 * ROUND_TICKS):
        other.tick()
    assert budget.counters(1).messages == 1
    drain()
    row = UsageLog.objects.get()
    assert (row.estimated, row.counted) == (True, True)


def test_its_messages_are_forgotten_in_the_end(server: Server, other: Process, settings: Any, redis: Any) -> None:
    under_way(other)
    let_pass(settings, 21)
    assert 0 < redis.ttl(f"quota:open:{other.id}") <= 86400
    other.tick()
    assert redis.ttl(f"quota:open:{other.id}") == -1
    assert admit(ask())
