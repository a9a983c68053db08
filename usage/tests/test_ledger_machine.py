"""Admission and the ledger as a state machine: any order of calls, crashes, losses and midnights keeps the promises.

Three processes live in one (each a `Process` of its own) on the real Redis and PostgreSQL. A restart of Redis is played
by what its processes notice of it: another run of the server, with all its data, with those of some time ago, or none.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.money import nano_nearest
from usage import budget, drainer
from usage.admission import Attempt, Ticket, Usage, admit
from usage.clock import SECOND, day_of
from usage.drainer import drain
from usage.errors import NotNow, RedisAway, Refused
from usage.models import BudgetReset, DeadLetter, GatewayProcess, LedgerState, UsageLog
from usage.process import Process
from usage.redis import client, run_script

from . import redis_file
from .calls import ask
from .ledger_audit import compare
from .ledger_model import BUDGET, LANES, TIERS, Asked, Call, Model, Truth

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

MINUTE = 60 * SECOND


class Ledger(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        client().flushdb()
        for table in (UsageLog, LedgerState, GatewayProcess, DeadLetter, BudgetReset):
            table.objects.all().delete()
        django_settings.CLOCK_SHIFT_SECONDS = 0.0
        self.model = Model()
        self.wire = ""
        self.processes = [Process() for _ in range(3)]
        self.current = self.processes[0]
        self.snapshot: dict[str, bytes] | None = None
        # Something of a dead process is only in Redis: if that is lost too, nobody has it (docs/guarantees.md).
        self.only_in_redis = False
        # Those that have not handed in since Redis lost it what only they still have: the same the other way round.
        self.only_they_know: set[Process] = set()
        self.patches: list[Any] = [
            patch("usage.admission.this_process", lambda: self.current),
            patch("usage.budget.this_process", lambda: self.current),
            patch("usage.process.run_script", self.over_the_wire),
        ]
        for each in self.patches:
            each.start()
        for process in self.processes:
            process.tick()

    def over_the_wire(self, name: str, call: Any) -> Any:
        if self.wire == "cut before" and name in ("settle", "give_back"):
            raise RedisAway
        answer = run_script(name, call)
        if self.wire == "cut after" and name in ("settle", "give_back"):
            raise RedisAway
        return answer

    @contextmanager
    def hands_of(self, process: Process, wire: str = "") -> Iterator[None]:
        self.current, self.wire = process, wire
        try:
            yield
        finally:
            self.wire = ""

    # Calls

    @rule(who=st.sampled_from(list(TIERS)), lane=st.sampled_from(list(LANES)), place=st.integers(0, 2))
    def admit_one(self, who: int, lane: str, place: int) -> None:
        process = self.processes[place]
        with self.hands_of(process):
            try:
                ticket = admit(ask(TIERS[who], user=who, offers=LANES[lane]))
                attempt = ticket.attempt(ticket.start)
            except (Refused, NotNow):
                return
        day = date.fromisoformat(ticket.day)
        self.model.asked[ticket.request_id] = Asked(who, day, ticket.admitted_at)
        self.within_limits(who, day, ticket.admitted_at)
        self.model.calls.append(Call(process, ticket, ticket.start, attempt, self.sent(ticket, 1, attempt)))

    def sent(self, ticket: Ticket, number: int, attempt: Attempt) -> Truth:
        truth = Truth(ticket.request_id, number, ticket.asked.user_id, date.fromisoformat(ticket.day), attempt.hold)
        self.model.truths.append(truth)
        return truth

    def within_limits(self, who: int, day: date, at: int) -> None:
        """Quotas are exact, and no minute holds more than it may."""
        asked = [a for a in self.model.asked.values() if a.user == who and not a.orphan]
        assert sum(a.day == day and a.counts for a in asked) <= TIERS[who].messages_per_day
        known = {t.request for t in self.model.truths}
        recent = [a for r, a in self.model.asked.items() if a in asked and a.at > at - MINUTE and r in known]
        assert len(recent) <= TIERS[who].requests_per_minute

    @precondition(lambda self: self.model.calls)
    @rule(
        data=st.data(),
        share=st.integers(0, 100),
        estimated=st.booleans(),
        wire=st.sampled_from(["", "", "cut before", "cut after"]),
    )
    def settle_one(self, data: st.DataObject, share: int, estimated: bool, wire: str) -> None:
        """By the provider's word, or, where it was cut short, by a bound."""
        call = self.take(data)
        self.bill(call.truth, share)
        with self.hands_of(call.process, wire):
            cost = (call.truth.cost if call.truth else 0) or 0
            call.attempt.settle(Usage(1, 1, cost, cost, "stop", estimated=estimated))

    @precondition(lambda self: self.model.calls)
    @rule(
        data=st.data(),
        how=st.sampled_from(["refused", "unknown", "unsent"]),
        share=st.integers(0, 100),
        again=st.booleans(),
        wire=st.sampled_from(["", "", "cut before", "cut after"]),
    )
    def fail_one(self, data: st.DataObject, how: str, share: int, again: bool, wire: str) -> None:
        call = self.take(data)
        with self.hands_of(call.process, wire):
            if how == "refused":
                self.bill(call.truth, 0)
                call.attempt.refuse("overloaded (500)")
            elif how == "unknown":
                self.bill(call.truth, share)
                self.cannot_be_used(call.truth)
                call.attempt.unknown("timeout")
                # The row of the sweep, which counts the message, stays: after a loss the quota may count it again.
                self.model.asked[call.ticket.request_id].orphan |= call.swept
            else:
                self.never_sent(call)
                call.attempt.unsent()
        if again and self.try_another(call):
            return
        with self.hands_of(call.process, wire):
            call.ticket.give_back()
        self.model.asked[call.ticket.request_id].counts = False

    def try_another(self, call: Call) -> bool:
        place = call.place + 1
        if place >= len(call.ticket.asked.offers):
            return False
        with self.hands_of(call.process):
            try:
                attempt = call.ticket.attempt(place)
            except (Refused, NotNow):
                return False
        number = int(attempt._flight.attempt)
        self.model.calls.append(
            Call(call.process, call.ticket, place, attempt, self.sent(call.ticket, number, attempt))
        )
        return True

    def take(self, data: st.DataObject) -> Call:
        return self.model.calls.pop(data.draw(st.integers(0, len(self.model.calls) - 1)))

    def bill(self, truth: Truth | None, share: int) -> None:
        if truth is not None:
            truth.cost = truth.hold * share // 100

    def cannot_be_used(self, truth: Truth | None) -> None:
        if truth is not None:
            truth.usable = False

    def never_sent(self, call: Call) -> None:
        if call.truth is not None:
            call.truth.cost, call.truth.unsent = 0, True
            # What Redis was not told yet is settled by the sweep, should its process die first.
            told = call.attempt._flight.field not in call.process.in_flight
            if told and not call.swept:
                self.model.truths.remove(call.truth)

    # Processes and time

    @rule(place=st.integers(0, 2), share=st.integers(0, 100))
    def crash(self, place: int, share: int) -> None:
        if self.processes[place] in self.only_they_know:
            return
        dead, self.processes[place] = self.processes[place], Process()
        for call in [call for call in self.model.calls if call.process is dead]:
            self.model.calls.remove(call)
            self.bill(call.truth, share)
            self.cannot_be_used(call.truth)
            self.model.asked[call.ticket.request_id].orphan = True
        for request in dead.messages:
            self.model.asked[request].orphan = True
        # Ends that Redis did not take die with their process: the sweep settles those attempts, and charges nothing.
        self.model.swept |= {(flight.request_id, flight.attempt) for flight in dead.in_flight.values()}
        self.only_in_redis, self.snapshot = True, None
        self.tick(self.processes[place])

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        self.pass_time(seconds, self.processes)

    @rule(place=st.integers(0, 2))
    def one_stalls(self, place: int) -> None:
        """It is taken for dead, and lives."""
        stalled = self.processes[place]
        self.pass_time(25, [process for process in self.processes if process is not stalled])
        for call in self.model.calls:
            call.swept = call.swept or call.process is stalled
            if call.swept and call.truth is not None:
                self.model.swept.add((call.truth.request, call.truth.attempt))
        # What the sweep wrote is nobody's receipt.
        self.only_in_redis = True

    @rule()
    def nobody_can_reach_redis(self) -> None:
        """Frozen for longer than a lease: nobody dies of it."""
        django_settings.CLOCK_SHIFT_SECONDS += 40

    @rule()
    def midnight(self) -> None:
        now = self.now()
        to_come = 86400 - (now // SECOND + 3600) % 86400
        django_settings.CLOCK_SHIFT_SECONDS += to_come - 1
        self.pass_time(3, self.processes)

    def pass_time(self, seconds: int, ticking: list[Process]) -> None:
        for _ in range(0, seconds, 5):
            django_settings.CLOCK_SHIFT_SECONDS += min(5, seconds)
            for process in ticking:
                self.tick(process)

    def tick(self, process: Process) -> None:
        with self.hands_of(process):
            try:
                process.tick()
            except NotNow:
                return
        self.only_they_know.discard(process)

    def now(self) -> int:
        seconds, microseconds = client().time()
        return int(seconds) * SECOND + int(microseconds) + round(django_settings.CLOCK_SHIFT_SECONDS * SECOND)

    # The table, and Redis

    @rule()
    def drain_all(self) -> None:
        while drain():
            pass
        # What a dead process left is written, once it has been swept.
        held = list(client().scan_iter("budget:holds:*"))
        living = {f"budget:holds:{process.id}" for process in self.processes}
        self.only_in_redis = self.only_in_redis and bool(set(held) - living)

    @rule()
    def drain_and_die(self) -> None:
        """Between its commit and its trim."""
        with patch.object(drainer, "trim"):
            drain()

    @rule()
    def somebody_deletes_the_counter(self) -> None:
        client().delete("budget:today:usd")

    @precondition(lambda self: not any(call.swept for call in self.model.calls))
    @rule(place=st.integers(0, 2))
    def an_operator_resets(self, place: int) -> None:
        with self.hands_of(self.processes[place]):
            try:
                row = budget.reset(by="sara")
            except NotNow:
                return
        self.model.resets.add(row.day)
        for truth in self.model.truths:
            truth.since_reset = truth.since_reset and (truth.day != row.day or truth.cost is None)

    @rule()
    def keep_the_file(self) -> None:
        self.snapshot = redis_file.kept()

    @rule()
    def redis_restarts(self) -> None:
        if client().exists("budget:redis"):
            client().hset("budget:redis", "run", "an earlier one")

    @precondition(lambda self: not self.only_in_redis)
    @rule()
    def redis_comes_back_empty(self) -> None:
        client().flushdb()
        self.snapshot = None
        self.only_they_know = set(self.processes)

    @precondition(lambda self: self.snapshot is not None and not self.only_in_redis)
    @rule()
    def redis_comes_back_older(self) -> None:
        assert self.snapshot is not None
        redis_file.load(self.snapshot)
        self.redis_restarts()
        self.only_they_know = set(self.processes)

    # The promises

    @invariant()
    def what_was_billed_is_within_the_budget(self) -> None:
        """With what is still held, at every instant, of each day; what a user was charged likewise."""
        if not hasattr(self, "model"):
            return
        days: dict[date, int] = defaultdict(int)
        for truth in self.model.truths:
            amount = truth.hold if truth.cost is None else truth.cost
            days[truth.day] += amount if truth.since_reset else 0
        assert all(amount <= BUDGET for amount in days.values()), days
        for day in days:
            own = client().hgetall(f"budget:{day}:users")
            for user, tier in TIERS.items():
                taken = int(own.get(f"{user}:spent", 0)) + int(own.get(f"{user}:held", 0))
                assert tier.user_daily_budget is None or taken <= tier.user_daily_budget, own

    @invariant()
    def the_counter_is_within_the_budget(self) -> None:
        day, spent = client().get("budget:day"), client().get("budget:today:usd")
        held = client().get(f"budget:{day}:held")
        if spent is not None and held is not None and not getattr(self, "model", Model()).resets:
            assert nano_nearest(Decimal(spent)) + int(held) <= BUDGET

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        try:
            self.come_to_rest()
            compare(self.model, day_of(self.now()))
        finally:
            for each in self.patches:
                each.stop()
            django_settings.CLOCK_SHIFT_SECONDS = 0.0

    def come_to_rest(self) -> None:
        for call in self.model.calls:
            self.bill(call.truth, 50)
            with self.hands_of(call.process):
                cost = (call.truth.cost if call.truth else 0) or 0
                call.attempt.settle(Usage(1, 1, cost, cost, "stop"))
        self.pass_time(60, self.processes)
        while drain():
            pass
        with self.hands_of(self.processes[0]):
            budget.counters()


def test_the_promises_hold_in_any_order(settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal(BUDGET).scaleb(-9)
    run_state_machine_as_test(Ledger, settings=PLAY)


PLAY = settings(
    max_examples=int(os.environ.get("MACHINE_EXAMPLES", "25")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
