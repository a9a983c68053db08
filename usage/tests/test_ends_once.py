"""An end moves the counters once, however often Redis is given it: a truth after an estimate, an estimate after a
truth, an end that a process hands in after Redis lost it, and the holds of a process that died."""

from typing import Any

import pytest

from usage import budget
from usage.admission import Ticket, admit
from usage.drainer import drain
from usage.flights import End, Flight
from usage.ledger import in_table
from usage.models import UsageLog
from usage.process import Process, this_process

from .calls import GOOD, ask

pytestmark = pytest.mark.django_db

HOLD = GOOD.ceiling
TRUTH = End(cost=4_000_000, charged=4_000_000, counted=True)
ESTIMATE = End(cost=HOLD, charged=HOLD, estimated=True, counted=True)


def under_way() -> tuple[Ticket, Flight]:
    ticket = admit(ask())
    return ticket, this_process().in_flight[f"{ticket.request_id}:1"]


def spent() -> tuple[int, int]:
    now = budget.counters(1)
    return now.spent, now.user_spent


def told_again(flight: Flight, end: End) -> None:
    """As by a process that does not know whether Redis took it."""
    this_process().execute("settle", end.as_call(flight))


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        pytest.param([TRUTH, TRUTH], TRUTH.cost, id="a truth told twice"),
        pytest.param([ESTIMATE, TRUTH], TRUTH.cost, id="a truth after an estimate"),
        pytest.param([ESTIMATE, TRUTH, TRUTH], TRUTH.cost, id="a truth after an estimate, told twice"),
        pytest.param([TRUTH, ESTIMATE], TRUTH.cost, id="an estimate after a truth"),
        pytest.param([ESTIMATE, ESTIMATE], HOLD, id="an estimate told twice"),
        pytest.param([ESTIMATE, End(cost=7, charged=7, estimated=True)], HOLD, id="a second estimate"),
    ],
)
@pytest.mark.parametrize("drained", [False, True])
def test_an_end_told_again_moves_nothing_twice(ends: list[End], wanted: int, drained: bool) -> None:
    _, flight = under_way()
    for end in ends:
        told_again(flight, end)
        if drained:
            drain()
    assert spent() == (wanted, wanted)
    while drain():
        pass
    assert [round(row.cost_usd * 10**9) for row in UsageLog.objects.all()] == [wanted]


def lost(flight: Flight, end: End) -> None:
    """Told to a Redis that knows neither the hold nor the row."""
    this_process().execute("settle", end.as_call(flight, lost=True))


def test_an_end_that_is_handed_in_twice_counts_once(redis: Any) -> None:
    _, flight = under_way()
    redis.delete(f"budget:holds:{this_process().id}", f"budget:{flight.day}:held", "usage:stream")
    lost(flight, TRUTH)
    lost(flight, TRUTH)
    assert spent() == (TRUTH.cost, TRUTH.cost)


def test_a_truth_that_was_lost_replaces_the_estimate_that_the_table_has(redis: Any) -> None:
    _, flight = under_way()
    told_again(flight, ESTIMATE)
    drain()
    redis.delete(f"budget:resolved:{flight.field}")
    row = in_table([flight.key])[flight.key]
    this_process().execute("settle", TRUTH.as_call(flight, lost=True, in_table=row))
    assert spent() == (TRUTH.cost, TRUTH.cost)


def sweep(travel: Any) -> None:
    for _ in range(5):
        travel(5)
        this_process().tick()


def of_a_dead_process(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Process()
    dead.tick()
    with monkeypatch.context() as patch:
        patch.setattr("usage.admission.this_process", lambda: dead)
        admit(ask())


def test_the_holds_of_a_dead_process_become_the_operators_cost(travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_dead_process(monkeypatch)
    sweep(travel)
    now = budget.counters(1)
    assert (now.spent, now.held, now.user_held, now.user_spent) == (HOLD, 0, 0, 0)


def test_nothing_of_a_living_process_is_settled_after_redis_was_away(
    travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process could show life for 40 s; the first one that can again does not settle what the others have."""
    this_process().tick()
    of_a_dead_process(monkeypatch)
    travel(40)
    this_process().tick()
    assert (budget.counters(1).spent, budget.counters(1).held) == (0, HOLD)
    sweep(travel)
    assert (budget.counters(1).spent, budget.counters(1).held) == (HOLD, 0)
