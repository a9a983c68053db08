"""Nothing is remembered for ever of a key, a model or a provider that no longer exists."""

from collections.abc import Callable
from typing import Any

import pytest

from iafactory.dashboard.providers import provider_rows
from llmrouter import models
from llmrouter.catalogue import forget_catalogue
from llmrouter.providers import registry
from usage import health
from usage.process import ROUND_TICKS, this_process

from .talking import Talker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

Travel = Callable[[float], None]


def pass_a_round() -> None:
    for _ in range(ROUND_TICKS):
        this_process().tick()


def open_for(*subjects: str) -> None:
    for subject in subjects:
        health.failed(subject, "key_refused (401)", at_once=True)


def still_open() -> set[str]:
    return {breaker.subject for breaker in health.breakers_now()}


def current_key(provider: str) -> str:
    connection = registry.connection(provider)
    assert connection is not None
    return connection.keys[0].subject


def test_the_breaker_of_a_key_that_was_rotated_out_is_dropped(travel: Travel) -> None:
    old, new = "openrouter#00000000", current_key("openrouter")
    open_for(old, f"{old}$", f"{old}/openai/gpt-4o", new)
    travel(100)
    pass_a_round()
    assert still_open() == {new}
    assert not {old, f"{old}$", f"{old}/openai/gpt-4o"} & (
        this_process().breakers.keys() | this_process().failures.keys()
    )


def test_what_was_open_a_moment_ago_stays_for_processes_with_the_old_settings(travel: Travel) -> None:
    open_for("openrouter#00000000")
    travel(30)
    pass_a_round()
    assert still_open() == {"openrouter#00000000"}


def test_the_breaker_of_a_retired_model_is_dropped(travel: Travel) -> None:
    open_for("openrouter/openai/gpt-4o", "openrouter/openai/gone")
    travel(100)
    pass_a_round()
    assert still_open() == {"openrouter/openai/gpt-4o"}
    models.Model.objects.filter(name="gpt-4o").delete()
    forget_catalogue()
    pass_a_round()
    assert still_open() == set()


def test_the_breaker_of_a_provider_without_a_key_is_dropped(travel: Travel) -> None:
    open_for("mistral", "mistral/mistral-large")
    travel(100)
    pass_a_round()
    assert still_open() == set()


def test_counted_failures_of_what_is_gone_are_dropped(redis: Any) -> None:
    health.failed("openrouter#00000000", "cut")
    health.failed("openrouter", "cut")
    pass_a_round()
    assert redis.hgetall("health:failures") == {"openrouter": "1"}


def test_the_fast_path_of_routing_and_the_dashboard_come_back(travel: Travel, pro: Talker) -> None:
    open_for("openrouter#00000000")
    assert not health.all_well()
    assert [row.state for row in provider_rows([], []) if row.name == "openrouter"] == ["partly"]
    travel(100)
    pass_a_round()
    assert health.all_well()
    assert [row.state for row in provider_rows([], []) if row.name == "openrouter"] == ["working"]
    assert pro.say(model="gpt-4o")["provider"] == "openrouter"


def test_nothing_is_dropped_while_the_models_cannot_be_read(travel: Travel, monkeypatch: pytest.MonkeyPatch) -> None:
    from accounts.errors import AccountsAway
    from llmrouter import catalogue

    open_for("openrouter/openai/gone")
    travel(100)

    def away() -> None:
        raise AccountsAway

    monkeypatch.setattr(catalogue, "catalogue", away)
    pass_a_round()
    assert still_open() == {"openrouter/openai/gone"}
