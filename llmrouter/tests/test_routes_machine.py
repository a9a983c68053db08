"""The catalogue of routes as a state machine: staff edit it, breakers open and heal, and the plan keeps its word."""

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing.entitlements import Entitlement
from billing.money import NANO
from llmrouter.catalogue import Catalogue, Model, Route
from llmrouter.prices import Prices
from llmrouter.pricing import offer_of
from llmrouter.providers.registry import PROVIDERS, Connection, Key
from llmrouter.routing import keys_to_try, plan, subjects
from llmrouter.types import Chat
from usage import health
from usage.admission import Asked, Usage, admit
from usage.models import GatewayProcess
from usage.process import this_process
from usage.redis import client

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

CHAT = Chat(model="m", messages=({"role": "user", "content": "a"},), max_tokens=10, parameters={}, input_bytes=40)
PRICES = Prices(NANO, NANO, NANO, NANO)
SHARES = st.sampled_from([0, 15, 50, 85, 99, 100])


def connection(name: str, keys: int) -> Connection:
    return Connection(
        PROVIDERS[name], "http://x", tuple(Key(f"{name}#{n}", "k") for n in range(keys)), free=name == "groq"
    )


GOOD, CHEAP, THIRD = connection("openrouter", 2), connection("groq", 1), connection("deepinfra", 1)


def route(reached: Connection, upstream: str, *, good: bool, position: int = 0, weight: int = 1) -> Route:
    return Route(
        connection=reached,
        upstream=upstream,
        serves=upstream,
        good=good,
        free=reached.free,
        prices=None if reached.free else PRICES,
        position=position,
        weight=weight,
        seconds=None,
        context_window=1000,
        max_output_tokens=100,
        image_tokens=None,
        thinks_unseen=False,
    )


def model(name: str, routes: Sequence[Route], *, rank: int = 0, good: bool = False) -> Model:
    return Model(
        name=name,
        title=name,
        vendor="v",
        description="",
        min_tier="free",
        min_rank=rank,
        only_tiers=frozenset(),
        context_window=1000,
        max_output_tokens=100,
        default_output_tokens=10,
        image_tokens=None,
        added_at=0,
        good=good,
        routes=tuple(routes),
        list_price=None,
    )


STAND_IN = model("stand-in", [route(CHEAP, "oss-120b", good=False)])
LAST = model("last", [route(THIRD, "last:free", good=False)])
CATALOGUE = Catalogue({}, STAND_IN, LAST)


class Routes(RuleBasedStateMachine):
    @initialize(share=SHARES)
    def begin(self, share: int) -> None:
        client().flushdb()
        GatewayProcess.objects.all().delete()
        this_process.forget()
        self.routes = [route(GOOD, "good-0", good=True), route(CHEAP, "cheap-0", good=False)]
        self.added = 0
        self.rank = 0
        self.tier_rank = 10
        self.groq_percent = share
        # Which lane each eligible call of the user was given, in turn.
        self.turns: list[bool] = []

    # Staff

    @rule(good=st.booleans(), position=st.integers(0, 2), weight=st.integers(1, 100), third=st.booleans())
    def add_a_route(self, good: bool, position: int, weight: int, third: bool) -> None:
        if len(self.routes) < 8:
            self.added += 1
            reached = (THIRD if third else GOOD) if good else CHEAP
            self.routes.append(route(reached, f"new-{self.added}", good=good, position=position, weight=weight))

    @rule(place=st.integers(0, 7))
    def remove_a_route(self, place: int) -> None:
        if place < len(self.routes):
            self.routes.pop(place)

    @rule(rank=st.sampled_from([0, 10, 20]))
    def close_the_model_to_lower_tiers(self, rank: int) -> None:
        self.rank = rank

    # Breakers

    @rule(place=st.integers(0, 7), what=st.integers(0, 4), at_once=st.booleans())
    def something_fails(self, place: int, what: int, at_once: bool) -> None:
        if place < len(self.routes):
            named = subjects(self.routes[place], self.routes[place].connection.keys[0])
            health.failed(named[what % len(named)], "overloaded", at_once=at_once)

    @rule(place=st.integers(0, 7))
    def something_works_again(self, place: int) -> None:
        if place < len(self.routes):
            for subject in subjects(self.routes[place], self.routes[place].connection.keys[0]):
                health.succeeded(subject)

    @rule()
    def a_tick(self) -> None:
        this_process().tick()

    @rule()
    def the_rest_is_over(self) -> None:
        """One caller tries for all; the others do not meanwhile."""
        opened = sorted(this_process().breakers)
        with patch("usage.health.resting", return_value=False):
            for subject in opened:
                with patch("usage.clock.shift", return_value=round(26e6)):
                    claims = [health.claim(subject) for _ in range(3)]
                assert claims == [True, False, False]
        for subject in opened:
            health.succeeded(subject)

    # Calls

    def plan(self) -> Any:
        good = any(each.good for each in self.routes)
        asked = model("m", self.routes, rank=self.rank, good=good)
        return plan(asked, CHAT, self.tier(), CATALOGUE)

    def tier(self) -> Entitlement:
        return Entitlement("student", self.tier_rank, 10**6, 10**6, self.groq_percent, None)

    @rule(number=st.integers(1, 30))
    def call(self, number: int) -> None:
        for _ in range(number):
            made = self.plan()
            if not made.routes:
                return
            ticket = admit(
                Asked(
                    request_id=str(uuid4()),
                    user_id=1,
                    entitlement=self.tier(),
                    offers=[offer_of(each, CHAT, 10) for each in made.routes],
                    cheap_from=made.cheap_from,
                    eligible=made.eligible,
                    endpoint="/x",
                    requested_model="m",
                )
            )
            if made.eligible:
                self.turns.append(ticket.good)
                if not ticket.good and made.cheap_from < len(made.routes):
                    # The cheap lane's turn is not served by the good one.
                    assert ticket.start >= made.cheap_from
            with ticket.attempt(ticket.start) as attempt:
                attempt.settle(Usage())

    @invariant()
    def of_any_hundred_in_a_row_the_share_is_exact(self) -> None:
        turns = getattr(self, "turns", [])
        share = 100 - getattr(self, "groq_percent", 0)
        for begin in range(max(0, len(turns) - 130), len(turns) - 99):
            assert sum(turns[begin : begin + 100]) == share

    @invariant()
    def the_plan_keeps_its_word(self) -> None:
        if not hasattr(self, "routes"):
            return
        made = self.plan()
        own, names = made.routes[: made.own], [each.subject for each in made.routes]
        # Each way once; none that rests; the asked model's own first, the good lane before the cheap one.
        assert len(set(names)) == len(names)
        for each in made.routes:
            rests = [[health.resting(subject) for subject in subjects(each, key)] for key in each.connection.keys]
            assert any(not any(of_key) for of_key in rests)
            assert len({key.subject for key in each.connection.keys}) == len(each.connection.keys)
        assert [each.good for each in own] == sorted((each.good for each in own), reverse=True)
        for lane in (True, False):
            positions = [each.position for each in own if each.good == lane]
            assert positions == sorted(positions)
        assert made.cheap_from == sum(each.good for each in own)
        assert made.locked == (self.tier_rank < self.rank)
        if made.locked:
            assert made.own == 0
            assert not made.eligible
        # No free way that is well is left out.
        free = (*STAND_IN.routes, *LAST.routes)
        well = [e for e in free if not any(map(health.resting, subjects(e, e.connection.keys[0])))]
        assert {each.subject for each in well} <= set(names)

    @invariant()
    def only_keys_that_do_not_rest_are_tried(self) -> None:
        for each in getattr(self, "routes", []):
            for key in keys_to_try(each):
                assert not any(map(health.resting, subjects(each, key)))


def test_the_plan_keeps_its_word_whatever_staff_and_providers_do() -> None:
    run_state_machine_as_test(Routes, settings=PLAY)


PLAY = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("groq_percent", range(101))
def test_every_share_is_exact_wherever_the_hundred_begins(groq_percent: int) -> None:
    """The rule of the script, for every share and every beginning."""
    share = 100 - groq_percent
    turns = [(turn % 100 + 1) * share // 100 > turn % 100 * share // 100 for turn in range(200)]
    assert all(sum(turns[begin : begin + 100]) == share for begin in range(100))
