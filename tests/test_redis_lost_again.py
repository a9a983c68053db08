"""Redis loses what it knew while something else goes wrong as well: each a crash or a race that once lost money."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from billing.money import dollars
from tests.test_redis_comes_back import Server, let_pass, other, server, under_way
from usage import budget, process, rebuilding
from usage.admission import Usage, admit
from usage.drainer import drain
from usage.errors import NotNow, RedisAway
from usage.flights import End, Flight
from usage.models import UsageLog
from usage.process import Process, this_process
from usage.redis import client, run_script
from usage.tests.calls import GOOD, ask, spend

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["other", "server"]


def test_an_older_data_set_is_not_trusted_after_a_rebuild_that_failed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget.counters()
    older = server.file.read_bytes()
    spend(admit(ask()), 1_000_000)
    drain()
    server.comes_back(older)

    def fail(*_args: object) -> Any:
        raise RedisAway

    with monkeypatch.context() as patch:
        # After the stream's last id was moved up to the table's mark, and before the counter was set.
        patch.setattr(rebuilding, "count_day", fail)
        with pytest.raises(NotNow):
            admit(ask())
    this_process().tick()
    assert budget.counters().spent == 1_000_000


def test_a_lost_end_of_a_message_that_is_still_open_is_counted_once(server: Server) -> None:
    ticket = admit(ask(offers=(GOOD, GOOD)))
    with ticket.attempt(0) as attempt:
        attempt.refuse("overloaded (500)")
    # This file knows the message, and nothing of its second attempt.
    older = server.file.read_bytes()
    with ticket.attempt(1) as attempt:
        attempt.settle(Usage(1, 1, 5, 5, "stop"))
    server.comes_back(older)
    now = budget.counters(1)
    assert (now.spent, now.messages) == (5, 1)


def test_a_lost_attempt_that_was_never_sent_leaves_no_row(server: Server) -> None:
    budget.counters()
    older = server.file.read_bytes()
    ticket = admit(ask())
    server.kill()
    ticket.let_go()
    server.file.write_bytes(older)
    server.start()
    this_process().tick()
    this_process().tick()
    assert budget.counters(1).held == 0
    drain()
    assert UsageLog.objects.count() == 0


@pytest.fixture
def taken_for_dead(server: Server, other: Process, settings: Any) -> Flight:
    """Of the other process, which lives; its estimate is in the table, and then Redis lost everything."""
    flight = under_way(other)
    let_pass(settings, 21)
    drain()
    server.comes_back_empty()
    other.tick()
    return flight


def test_a_flight_that_was_taken_for_dead_is_not_held_beside_its_estimate(
    other: Process, taken_for_dead: Flight
) -> None:
    assert (budget.counters(1).spent, budget.counters(1).held) == (GOOD.ceiling, 0)
    other.settle(taken_for_dead, End(5, counted=True))
    assert (budget.counters(1).spent, budget.counters(1).messages) == (5, 1)
    drain()
    assert [row.cost_usd for row in UsageLog.objects.all()] == [dollars(5)]


def test_a_message_of_one_taken_for_dead_is_counted_once_and_can_be_given_back(
    other: Process, taken_for_dead: Flight
) -> None:
    assert budget.counters(1).messages == 1
    other.settle(taken_for_dead, End(says={"error_flag": True, "error_message": "overloaded (500)"}))
    other.give_back(taken_for_dead.request_id)
    assert budget.counters(1).messages == 0


def test_an_admission_from_before_the_restart_is_not_used_after_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget.counters()
    real = run_script

    def answered_late(name: str, call: Any) -> Any:
        answer = real(name, call)
        if name == "admit":
            # Before the answer is read, another call of this process finds Redis empty and attaches anew.
            client().flushall()
            monkeypatch.undo()
            budget.counters()
        return answer

    monkeypatch.setattr(process, "run_script", answered_late)
    with pytest.raises(NotNow):
        admit(ask())
    assert not this_process().in_flight


def test_the_minute_goes_on_when_redis_lost_it(server: Server) -> None:
    ended = admit(ask())
    with ended.attempt(0) as attempt:
        attempt.settle(Usage(1, 1, 5, 5, "stop"))
    for _ in range(4):
        admit(ask())
    server.comes_back_empty()
    assert budget.counters(1).recent == 5


def test_the_truth_that_came_after_the_last_minute_is_told_later(server: Server) -> None:
    ticket = admit(ask())
    with ticket.attempt(0) as attempt:
        this_process().abandon()
        server.kill()
        attempt.settle(Usage(1, 1, 5, 5, "stop"))
    server.start()
    this_process().tick()
    assert not this_process().ends
    assert budget.counters(1).spent == 5


def test_one_that_leaves_waits_until_the_table_has_its_rows(server: Server) -> None:
    spend(admit(ask()), 1_000)
    drainer = threading.Timer(0.5, in_thread(drain))
    drainer.start()
    this_process().leave()
    server.comes_back_empty()
    drainer.join()
    this_process.forget()
    assert budget.counters(1).spent == 1_000
    assert UsageLog.objects.count() == 1


def test_an_answered_message_that_comes_back_as_open_is_not_given_back(server: Server) -> None:
    ticket = admit(ask())
    # The quota of this file counts the message in advance; its row is in the table when it comes back.
    older = server.file.read_bytes()
    spend(ticket, 5)
    drain()
    server.comes_back(older)
    for _ in range(11):
        this_process().tick()
    assert budget.counters(1).messages == 1


def in_thread(work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        work()
        connection.close()

    return run
