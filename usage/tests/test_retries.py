"""What Redis did not take is kept and retried: one end that fails holds back neither the others nor the duties of the
tick, and an end that is interrupted is not lost."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import gevent
import pytest
from django.utils import timezone

from usage import budget, process
from usage.admission import Attempt, Usage, admit
from usage.errors import RedisAway
from usage.models import GatewayProcess
from usage.process import FLUSH_SECONDS, ROUND_TICKS, this_process
from usage.recovery import strike_off
from usage.redis import run_script

from .calls import GOOD, WEALTHY, ask

pytestmark = pytest.mark.django_db

LEASE_SECONDS = 20

Wire = Callable[..., None]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Make scripts about these requests raise; `wire()` mends it."""
    broken: dict[str, BaseException] = {}

    def over_the_wire(name: str, call: Any) -> Any:
        if name in {"settle", "give_back"} and call["request"] in broken:
            raise broken[call["request"]]
        return run_script(name, call)

    def breaks(*attempts: Attempt, by: BaseException | None = None) -> None:
        broken.clear()
        if by is not None:
            broken.update({attempt._flight.request_id: by for attempt in attempts})

    monkeypatch.setattr(process, "run_script", over_the_wire)
    return breaks


def under_way() -> Attempt:
    return admit(ask()).attempt(0)


def spent() -> int:
    return budget.counters(1).spent


INTERRUPTIONS = [gevent.GreenletExit(), gevent.Timeout(), KeyboardInterrupt(), SystemExit(1)]


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=lambda error: type(error).__name__)
def test_a_settlement_that_is_interrupted_is_retried(wire: Wire, interruption: BaseException) -> None:
    attempt = under_way()
    wire(attempt, by=interruption)
    with pytest.raises(type(interruption)):
        attempt.settle(Usage(cost=1_000))
    wire()
    this_process().tick()
    assert (spent(), budget.counters(1).held) == (1_000, 0)


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=lambda error: type(error).__name__)
def test_a_message_whose_return_is_interrupted_is_given_back_later(wire: Wire, interruption: BaseException) -> None:
    ticket = admit(ask())
    attempt = ticket.attempt(0)
    attempt.refuse("overloaded (500)")
    wire(attempt, by=interruption)
    with pytest.raises(type(interruption)):
        ticket.give_back()
    assert budget.counters(1).messages == 1
    wire()
    this_process().tick()
    assert budget.counters(1).messages == 0


def test_an_error_at_the_return_of_a_message_does_not_reach_the_caller(wire: Wire) -> None:
    ticket = admit(ask())
    attempt = ticket.attempt(0)
    attempt.refuse("overloaded (500)")
    wire(attempt, by=TypeError("not ours"))
    ticket.give_back()
    wire()
    this_process().tick()
    assert budget.counters(1).messages == 0


@pytest.mark.parametrize("error", [TypeError("cannot be packed"), RedisAway()], ids=["a bug", "Redis refuses"])
def test_one_settlement_that_fails_does_not_hold_back_the_others(wire: Wire, error: Exception) -> None:
    attempts = [under_way() for _ in range(4)]
    bad = attempts[0]
    wire(*attempts, by=error)
    for attempt in attempts:
        attempt.settle(Usage(cost=1_000))
    wire(bad, by=error)
    this_process().tick()
    assert (spent(), budget.counters(1).held) == (3_000, GOOD.ceiling)
    assert list(this_process().ends) == [bad._flight.field]
    wire()
    this_process().tick()
    assert (spent(), budget.counters(1).held) == (4_000, 0)


def test_a_settlement_that_fails_keeps_the_process_from_none_of_its_duties(
    wire: Wire, redis: Any, travel: Callable[[float], None]
) -> None:
    this_process().tick()
    bad = under_way()
    wire(bad, by=TypeError("cannot be packed"))
    bad.settle(Usage(cost=1_000))
    GatewayProcess.objects.all().delete()
    before = redis.zscore("budget:leases", this_process().id)
    travel(LEASE_SECONDS / 2)
    for _ in range(ROUND_TICKS):
        this_process().tick()
    assert redis.zscore("budget:leases", this_process().id) > before
    assert GatewayProcess.objects.count() == 1


def test_retries_end_long_before_the_lease_does(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many takes a second to fail. The tick stops, and the next one goes on with those it did not reach."""
    attempts = [under_way() for _ in range(14)]
    wire(*attempts, by=RedisAway())
    for attempt in attempts:
        attempt.settle(Usage(cost=1_000))
    clock, tried = [0.0], []
    monkeypatch.setattr("usage.process.time.monotonic", lambda: clock[0])

    def slow(name: str, call: Any) -> Any:
        if name != "settle":
            return run_script(name, call)
        clock[0] += 1.0
        tried.append(call["request"])
        raise RedisAway

    monkeypatch.setattr(process, "run_script", slow)
    this_process().tick()
    assert FLUSH_SECONDS <= clock[0] <= FLUSH_SECONDS + 1 < LEASE_SECONDS / 2
    this_process().tick()
    this_process().tick()
    assert {attempt._flight.request_id for attempt in attempts} == set(tried)


def test_a_settlement_under_way_is_not_told_twice_by_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, told = under_way(), []

    def ticks_meanwhile(name: str, call: Any) -> Any:
        if name == "settle":
            told.append(call["request"])
            if len(told) == 1:
                this_process().tick()
        return run_script(name, call)

    monkeypatch.setattr(process, "run_script", ticks_meanwhile)
    attempt.settle(Usage(cost=1_000))
    assert len(told) == 1
    assert spent() == 1_000


def test_the_sweep_reads_the_names_of_holds_and_not_their_records(redis: Any) -> None:
    """The records of thousands of calls in flight stop a worker while they are parsed."""
    for _ in range(100):
        admit(ask(WEALTHY)).attempt(0)
    this_process().tick()
    records = sum(map(len, redis.hvals(f"budget:holds:{this_process().id}")))
    before = redis.info("stats")["total_net_output_bytes"]
    this_process()._let_strays_go()
    read = redis.info("stats")["total_net_output_bytes"] - before
    # The names of 100 holds and of 100 messages, and the answer to INFO itself.
    assert read < records / 3


def test_a_hold_that_no_call_knows_is_released(redis: Any) -> None:
    attempt = under_way()
    this_process().in_flight.clear()
    this_process()._let_strays_go()
    assert budget.counters(1).held == GOOD.ceiling
    this_process()._let_strays_go()
    assert budget.counters(1).held == 0
    assert not redis.hexists(f"budget:holds:{this_process().id}", attempt._flight.field)


@pytest.mark.parametrize(
    ("registered", "state", "stays"),
    [
        pytest.param(timedelta(hours=1), "open", False, id="forgotten by the one that swept it"),
        pytest.param(timedelta(seconds=10), "open", True, id="only just joining"),
        pytest.param(timedelta(hours=1), "confirming", True, id="while a recovery waits for it"),
    ],
)
def test_a_process_of_the_register_without_a_lease(registered: timedelta, state: str, stays: bool, redis: Any) -> None:
    """Each recovery would wait a whole lease for a process that no longer exists."""
    this_process().tick()
    GatewayProcess.objects.create(pk=uuid4(), host="h", pid=1, started_at=timezone.now() - registered)
    redis.hset("budget:redis", "state", state)
    strike_off([])
    assert GatewayProcess.objects.exclude(pk=UUID(this_process().id)).exists() is stays
    assert GatewayProcess.objects.filter(pk=UUID(this_process().id)).exists()
