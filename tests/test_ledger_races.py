"""What can go wrong between Redis, the drainer and several processes: each a crash or a race that once lost money."""

import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from redis.exceptions import ResponseError

from tests.test_redis_comes_back import Server, let_pass, other, server, under_way
from usage import budget, drainer, ledger, recovery
from usage.admission import Usage, admit
from usage.drainer import drain
from usage.errors import NotNow, RedisAway
from usage.flights import UNSENT, End
from usage.ids import is_after
from usage.models import DeadLetter, GatewayProcess, UsageLog
from usage.process import Process, this_process
from usage.redis import client, run_script
from usage.tests.calls import GOOD, ask, spend

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["other", "server"]


def test_settled_but_not_answered_and_then_a_restart(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, real = admit(ask()), run_script

    def lossy(name: str, call: Any) -> Any:
        answer = real(name, call)
        if name == "settle":
            raise RedisAway
        return answer

    with monkeypatch.context() as patch:
        patch.setattr("usage.process.run_script", lossy)
        spend(ticket, 1000)
    server.comes_back()
    this_process().tick()
    now = budget.counters(1)
    assert (now.spent, now.messages, now.held) == (1000, 1, 0)
    assert drain() == 1


def test_a_flush_is_noticed_by_every_process(server: Server, other: Process) -> None:
    flight = under_way(other)
    budget.counters()
    client().flushall()
    with pytest.raises(NotNow):
        admit(ask())
    other.tick()
    assert budget.counters(1).held == GOOD.ceiling
    other.settle(flight, End(5, counted=True))
    drain()
    assert UsageLog.objects.count() == 1


def test_a_rebuild_that_failed_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    budget.counters()
    client().flushall()

    def fail(*_args: object) -> None:
        raise RedisAway

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "rebuild_counters", fail)
        with pytest.raises(NotNow):
            admit(ask())
    this_process().tick()
    admit(ask())


def test_the_drainer_in_the_middle_of_a_batch(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    spend(admit(ask()), 1_000_000)
    drain()
    spend(admit(ask()), 1_000_000)
    written, go_on = threading.Event(), threading.Event()
    real_write = drainer.write

    def slow_write(letters: Any) -> None:
        real_write(letters)
        written.set()
        go_on.wait(10)

    def run() -> None:
        drain()
        connection.close()

    monkeypatch.setattr(drainer, "write", slow_write)
    thread = threading.Thread(target=run)
    thread.start()
    written.wait(10)
    server.comes_back_empty()
    # The recovery waits for the drainer, which has the rows in its hands.
    threading.Timer(0.5, go_on.set).start()
    assert budget.counters(1).spent == 2_000_000
    thread.join()
    assert UsageLog.objects.count() == 2


def test_a_recount_while_the_drainer_goes_by(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    spend(admit(ask()), 1_000_000)
    client().delete("budget:today:usd")
    real_pending = ledger.pending

    def pending(after: str) -> Any:
        monkeypatch.setattr(ledger, "pending", real_pending)
        with monkeypatch.context() as patch:
            # It dies between its commit and its trim.
            patch.setattr(drainer, "trim", lambda _mark: None)
            drain()
        return real_pending(after)

    monkeypatch.setattr(ledger, "pending", pending)
    assert budget.counters(1).spent == 1_000_000


def test_the_mark_only_goes_forward(server: Server) -> None:
    spend(admit(ask()), 1)
    drain()
    mark = client().get("usage:mark")
    drainer.trim("5-0")
    assert client().get("usage:mark") == mark


def test_a_process_that_was_taken_for_dead_is_waited_for_again(server: Server, other: Process, settings: Any) -> None:
    budget.counters()
    let_pass(settings, 25)
    assert not GatewayProcess.objects.filter(pk=UUID(other.id)).exists()
    other.tick()
    assert GatewayProcess.objects.filter(pk=UUID(other.id)).exists()


def test_one_that_died_unseen_is_forgotten_in_the_end(server: Server, settings: Any) -> None:
    budget.counters()
    GatewayProcess.objects.create(id=uuid4(), host="x", pid=1)
    server.comes_back_empty()
    with pytest.raises(NotNow):
        admit(ask())
    let_pass(settings, 30)
    assert GatewayProcess.objects.count() == 1


def test_a_settle_never_makes_a_missing_sum_of_holds(server: Server) -> None:
    ticket = admit(ask())
    client().delete(f"budget:{ticket.day}:held")
    spend(ticket, 5)
    assert client().get(f"budget:{ticket.day}:held") is None
    assert budget.counters().held == 0


def test_a_repeated_settle_keeps_its_receipt_until_the_row_is_written(server: Server) -> None:
    ticket = admit(ask())
    flight = this_process().in_flight[f"{ticket.request_id}:1"]
    spend(ticket, 5)
    written = this_process().receipts[-1].stream_id
    this_process().settle(flight, End(5, counted=True))
    assert not is_after(written, this_process().receipts[-1].stream_id)


def test_whatever_redis_refuses_at_a_settle_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, real = admit(ask()), run_script

    def full(name: str, call: Any) -> Any:
        if name == "settle":
            raise ResponseError("MISCONF Errors writing to the AOF file")
        return real(name, call)

    with monkeypatch.context() as patch:
        patch.setattr("usage.process.run_script", full)
        spend(ticket, 5)
    this_process().tick()
    assert (budget.counters().held, budget.counters().spent) == (0, 5)


def test_a_record_that_cannot_be_read_does_not_stop_the_sweep(server: Server, other: Process, settings: Any) -> None:
    flight = under_way(other)
    client().hset(f"budget:holds:{other.id}", "broken:1", "not json")
    let_pass(settings, 21)
    assert client().hgetall("budget:unreadable") == {"broken:1": "not json"}
    assert client().exists(f"budget:resolved:{flight.field}")


def test_a_row_that_is_dead_lettered_keeps_its_cost_in_the_ledger(server: Server) -> None:
    with admit(ask()).attempt(0) as attempt:
        attempt.settle(Usage(1, 1, 5, 5, "x" * 40))
    drain()
    assert DeadLetter.objects.count() == 1
    client().delete("budget:today:usd")
    assert budget.counters().spent == 5


def test_unsent_after_it_was_taken_for_dead(server: Server, other: Process, settings: Any) -> None:
    flight = under_way(other)
    let_pass(settings, 21)
    drain()
    other.settle(flight, UNSENT)
    drain()
    assert budget.counters(1).spent == 0
    assert UsageLog.objects.get().cost_usd == 0


def test_an_estimate_after_an_estimate_changes_nothing(server: Server, other: Process, settings: Any) -> None:
    flight = under_way(other)
    let_pass(settings, 21)
    drain()
    other.settle(flight, End(7, estimated=True, counted=True))
    drain()
    assert budget.counters(1).spent == round(UsageLog.objects.get().cost_usd * 10**9) == GOOD.ceiling


def test_the_true_usage_is_lost_with_redis_after_the_estimate_was_written(server: Server) -> None:
    ticket = admit(ask())
    flight = this_process().in_flight[f"{ticket.request_id}:1"]
    with ticket.attempt(0) as attempt:
        attempt.unknown("timeout")
    drain()
    this_process().in_flight[flight.field] = flight
    attempt.settle(Usage(1, 1, 9, 9, "stop"))
    server.comes_back_empty()
    assert budget.counters(1).spent == 9
    drain()
    assert round(UsageLog.objects.get().cost_usd * 10**9) == 9


def test_a_message_between_two_attempts_is_counted_once(server: Server) -> None:
    ticket = admit(ask(offers=(GOOD, GOOD)))
    with ticket.attempt(0) as attempt:
        attempt.refuse("overloaded (500)")
    server.comes_back_empty()
    assert budget.counters(1).messages == 1
    with ticket.attempt(1) as attempt:
        attempt.settle(Usage(1, 1, 5, 5, "stop"))
    assert budget.counters(1).messages == 1


def test_what_is_given_back_after_a_rebuild_is_its_own(server: Server) -> None:
    spend(admit(ask()), 1)
    ticket = admit(ask())
    with ticket.attempt(0) as attempt:
        attempt.refuse("overloaded (500)")
    server.comes_back_empty()
    ticket.give_back()
    ticket.give_back()
    assert budget.counters(1).messages == 1


def test_the_split_goes_on_where_it_was(server: Server) -> None:
    from usage.tests.calls import STUDENT

    for _ in range(6):
        with (ticket := admit(ask(STUDENT))).attempt(ticket.start) as attempt:
            attempt.settle(Usage())
    drain()
    server.comes_back_empty()
    # The seventh turn of a 15 % share is the first good one.
    assert admit(ask(STUDENT)).good


def test_bans_come_back_and_lifted_ones_do_not(server: Server) -> None:
    from conftest import person
    from usage.bans import lift_ban, soft_ban
    from usage.errors import Banned

    alice, bob = person("alice@example.dz"), person("bob@example.dz")
    budget.counters()
    soft_ban(user=alice, reason="abuse", by=None)
    older = server.file.read_bytes()
    lift_ban(user=alice, by=None)
    soft_ban(user=bob, reason="abuse", by=None)
    server.comes_back(older)
    admit(ask(user=alice.pk))
    with pytest.raises(Banned):
        admit(ask(user=bob.pk))


def test_what_is_under_way_at_the_end_is_settled_before_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage.process.LEAVING_SECONDS", 0)
    admit(ask())
    this_process().abandon()
    this_process().leave()
    drain()
    row = UsageLog.objects.get()
    assert (row.estimated, row.error_message) == (True, "shutdown")
    assert not GatewayProcess.objects.exists()
