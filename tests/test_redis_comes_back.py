"""Redis dies and comes back: with everything, with an older file, with nothing. The money stays whole.

A Redis of the test's own, killed with SIGKILL and started again on its files.
"""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from billing.money import dollars
from iafactory.run import redis as run_redis
from iafactory.run.__main__ import with_a_free_port
from iafactory.run.redis import EmbeddedRedis
from usage import budget
from usage.admission import Usage, admit
from usage.drainer import drain
from usage.errors import QuotaExceeded, Recovering, RedisAway
from usage.flights import End, Flight
from usage.models import GatewayProcess, UsageLog
from usage.process import Process, this_process
from usage.redis import client, forget_clients
from usage.tests.calls import CHEAP, FREE, GOOD, ask, spend

pytestmark = pytest.mark.django_db


class Server:
    def __init__(self, redis: EmbeddedRedis) -> None:
        self.redis = redis
        redis.prepare()
        self.start()

    def start(self) -> None:
        # Its file outlives it; only a machine that dies needs more, and a disk may take a second for that.
        command = [*self.redis.command, "--appendfsync", "no"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                client().ping()
                return
            except Exception:  # noqa: BLE001 (not yet)
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def file(self) -> Path:
        return self.redis.data / "appendonly.aof"

    def comes_back(self, file: bytes | None = None) -> None:
        """With everything, or with `file` in the place of its own."""
        self.kill()
        if file is not None:
            self.file.write_bytes(file)
        self.start()

    def comes_back_empty(self) -> None:
        self.kill()
        self.file.unlink()
        self.start()


@pytest.fixture
def server(tmp_path: Path, settings: Any) -> Iterator[Server]:
    redis = EmbeddedRedis(tmp_path, with_a_free_port(run_redis.new_url()))
    settings.REDIS_URL = redis.url
    forget_clients()
    server = Server(redis)
    yield server
    server.kill()
    forget_clients()


@pytest.fixture
def other(server: Server) -> Process:
    """Another process of the gateway."""
    process = Process()
    process.execute("peek", {})
    return process


def let_pass(settings: Any, seconds: float, *others: Process) -> None:
    """The money's clock goes on, and this process shows life meanwhile, as do the `others`."""
    end = settings.CLOCK_SHIFT_SECONDS + seconds
    while end > settings.CLOCK_SHIFT_SECONDS:
        settings.CLOCK_SHIFT_SECONDS = min(end, settings.CLOCK_SHIFT_SECONDS + 5)
        for process in (this_process(), *others):
            process.tick()


def under_way(process: Process) -> Flight:
    """A paid call of that process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usage.admission.this_process", lambda: process)
        ticket = admit(ask())
    return process.in_flight[f"{ticket.request_id}:1"]


def test_with_everything_the_paid_route_goes_on(server: Server) -> None:
    ticket = admit(ask())
    server.comes_back()
    spend(ticket, 1_000)
    assert budget.counters(1).paid_open
    assert (budget.counters(1).spent, budget.counters(1).held, budget.counters(1).messages) == (1_000, 0, 1)


def test_an_operators_set_survives_when_the_data_does(server: Server) -> None:
    budget.counters()
    client().set("budget:today:usd", "51.0")
    server.comes_back()
    assert budget.counters().spent == 51_000_000_000


def test_empty_it_is_built_again_and_what_is_under_way_is_handed_in(server: Server) -> None:
    spend(admit(ask()), 1_000)
    drain()
    spend(admit(ask()), 200)  # its row is only in the stream, and lost with it
    flying = admit(ask())
    server.comes_back_empty()
    now = budget.counters(1)
    assert (now.spent, now.held, now.user_spent, now.messages) == (1_200, GOOD.ceiling, 1_200, 3)
    spend(flying, 30)
    drain()
    assert UsageLog.objects.count() == 3
    assert sum(row.cost_usd for row in UsageLog.objects.all()) == dollars(1_230)
    assert (budget.counters(1).spent, budget.counters(1).held) == (1_230, 0)


def test_older_it_forgets_nothing(server: Server) -> None:
    spend(admit(ask()), 1_000)
    flying = admit(ask())
    older = server.file.read_bytes()
    spend(flying, 20)
    drain()
    spend(admit(ask()), 300)
    server.comes_back(older)
    now = budget.counters(1)
    assert (now.spent, now.held, now.messages) == (1_320, 0, 3)
    drain()
    assert dollars(1_320) == sum(row.cost_usd for row in UsageLog.objects.all())
    # Rows keep reaching the table: no new id fell behind the drainer's mark.
    spend(admit(ask()), 4)
    assert drain() == 1


def test_older_by_its_last_seconds_only(server: Server) -> None:
    budget.counters()
    older = server.file.read_bytes()
    spend(admit(ask()), 50)
    flying = admit(ask())
    server.comes_back(older)
    now = budget.counters(1)
    assert (now.spent, now.held, now.messages) == (50, GOOD.ceiling, 2)
    spend(flying, 6)
    assert budget.counters(1).spent == 56
    assert drain() == 2


def test_older_again_and_again(server: Server) -> None:
    budget.counters()
    older = server.file.read_bytes()
    for cost in (1, 10, 100):
        spend(admit(ask()), cost)
        server.comes_back(older)
    assert budget.counters(1).spent == 111
    drain()
    assert UsageLog.objects.count() == 3
    server.comes_back(older)
    assert budget.counters(1).spent == 111


def test_quotas_are_exact_after_it_came_back_empty(server: Server) -> None:
    with admit(ask(FREE, offers=(CHEAP,))).attempt(0) as attempt:
        attempt.settle(Usage())
    failed = admit(ask(FREE, offers=(CHEAP,)))
    with failed.attempt(0) as attempt:
        attempt.refuse("overloaded (500)")
    failed.give_back()
    admit(ask(FREE, offers=(CHEAP,)))
    server.comes_back_empty()
    admit(ask(FREE, offers=(CHEAP,)))
    with pytest.raises(QuotaExceeded):
        admit(ask(FREE, offers=(CHEAP,)))


def test_a_flush_is_noticed_too(server: Server) -> None:
    spend(admit(ask()), 1_000)
    client().flushall()
    assert budget.counters(1).spent == 1_000


def test_while_it_is_away_the_end_of_a_call_is_kept(server: Server) -> None:
    ticket = admit(ask())
    server.kill()
    spend(ticket, 7)
    with pytest.raises(RedisAway):
        admit(ask())
    server.start()
    this_process().tick()
    assert budget.counters(1).spent == 7


def test_the_paid_route_waits_for_every_process(server: Server, other: Process) -> None:
    under_way(other)
    server.comes_back_empty()
    with pytest.raises(Recovering):
        admit(ask())  # at first everybody waits a moment
    other.execute("peek", {})
    assert budget.counters(1).held == GOOD.ceiling
    assert admit(ask()).start == 0


def test_a_process_that_died_with_it_is_waited_for_a_lease(server: Server, other: Process, settings: Any) -> None:
    server.comes_back_empty()
    with pytest.raises(Recovering):
        admit(ask())
    let_pass(settings, 5)
    waiting = admit(ask())
    # Not for want of money: the answer will say that the paid route is out.
    assert (waiting.start, waiting.budget_scope) == (1, None)
    let_pass(settings, 16)
    assert admit(ask()).start == 0


def test_a_dead_process_leaves_costs_and_rows_not_holds(server: Server, other: Process, settings: Any) -> None:
    under_way(other)
    let_pass(settings, 19)
    assert budget.counters(1).held == GOOD.ceiling
    let_pass(settings, 2)
    assert (budget.counters(1).spent, budget.counters(1).held) == (GOOD.ceiling, 0)
    drain()
    row = UsageLog.objects.get()
    assert (row.estimated, row.error_message, row.cost_usd) == (True, "process_died", dollars(GOOD.ceiling))
    assert not GatewayProcess.objects.filter(pk=UUID(other.id)).exists()


def test_a_stalled_process_that_was_taken_for_dead_settles_late(server: Server, other: Process, settings: Any) -> None:
    flight = under_way(other)
    let_pass(settings, 21)
    spend(admit(ask()), 1)  # something else goes on meanwhile
    other.settle(flight, End(5, counted=True))
    assert (budget.counters(1).spent, budget.counters(1).held) == (6, 0)
    drain()
    assert sorted(row.cost_usd for row in UsageLog.objects.all()) == [dollars(1), dollars(5)]


def test_a_hold_whose_admission_was_never_answered_is_let_go(server: Server) -> None:
    ticket = admit(ask())
    lost = this_process().in_flight.pop(f"{ticket.request_id}:1")
    del this_process().messages[ticket.request_id]
    for _ in range(10):
        this_process().tick()
    assert lost.field not in this_process().held()
    assert (budget.counters(1).spent, budget.counters(1).held, budget.counters(1).messages) == (0, 0, 0)
