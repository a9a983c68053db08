"""Providers that say strange things: no 500, no lost row, and nobody else pays for it."""

from typing import Any

import pytest

from billing.models import Tier
from conftest import person
from tests.standins.provider import ProviderStandIn, error, hang
from usage import budget
from usage.models import DeadLetter

from .talking import Talker, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]


def reply(usage: Any, finish: str = "stop", text: str = "x") -> Any:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return error(200, {"choices": [choice], "usage": usage})


def test_the_free_models_rate_limit_is_not_the_paid_routes(
    pro: Talker, free: Talker, standin: ProviderStandIn, settings: Any
) -> None:
    settings.ENVIRONMENT.pop("GROQ_API_KEY")
    standin["openrouter"].faults = [error(429, Retry_After="30")]
    free.post()
    standin["openrouter"].faults = []
    assert pro.say()["provider"] == "openrouter"


@pytest.mark.usefixtures("impatient")
def test_one_callers_slow_prompts_take_the_model_from_nobody(pro: Talker, standin: ProviderStandIn, redis: Any) -> None:
    others = [Talker(person(f"{name}@example.dz", "pro")) for name in ("dina", "emir")]
    standin["openrouter"].faults = [hang(2)]
    for _ in range(3):
        pro.say()
    assert redis.hgetall("health:open") == {}
    for other in others:
        other.say()
    # Of three callers it is the provider's.
    assert list(redis.hgetall("health:open")) == ["openrouter/openai/gpt-4o"]


def test_without_a_cheap_route_there_is_nothing_to_split(standin: ProviderStandIn) -> None:
    bob = Talker(person("b@example.dz", "student"))
    Tier.objects.filter(name="student").update(requests_per_minute=1000)
    standin["groq"].faults = [error(500)]
    standin["openrouter"].faults = [error(404)]
    for _ in range(4):
        bob.post()
    standin["openrouter"].faults = []
    assert bob.post(model="claude-sonnet-4").status_code == 200


def test_too_long_for_the_stand_in_is_not_the_callers_fault(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(500), None]
    standin["groq"].faults = [error(413, {"error": {"message": "too large"}})]
    answer = pro.say(model="claude-sonnet-5.5")
    assert (answer["model"], answer["fallback_level"]) == ("gpt-oss-20b-free", 2)


def test_over_groqs_tokens_per_minute_is_no_long_prompt(pro: Talker, standin: ProviderStandIn) -> None:
    body = {"error": {"message": "Request too large: tokens per minute", "code": "rate_limit_exceeded"}}
    standin["groq"].faults = [error(413, body)]
    assert pro.say(model="gpt-oss-120b")["fallback_level"] == 2


def test_too_long_names_the_public_model(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(400, {"error": {"code": "context_length_exceeded"}})]
    assert "gpt-4o" in pro.post().json()["error"]["message"]
    assert "openai/gpt-4o" not in pro.post().json()["error"]["message"]


def test_an_answer_that_finished_in_error_is_a_failure(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [reply({"prompt_tokens": 5, "completion_tokens": 0, "cost": 0}, "error", "")]
    assert pro.say()["provider"] == "groq"


def test_an_invented_finish_reason_is_one_of_openais(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [reply({"prompt_tokens": 5, "completion_tokens": 1}, "eos\0" * 40)]
    assert pro.say()["finish_reason"] == "stop"
    assert rows()[0].finish_reason == "stop"


GARBAGE: dict[str, Any] = {
    "details as a list": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": [1]},
    "negative": {"prompt_tokens": -100_000_000, "completion_tokens": 1},
    "too many": {"prompt_tokens": 30_000_000_000, "completion_tokens": 1},
    "a cost beyond belief": {"prompt_tokens": 1, "completion_tokens": 1, "cost": 1e30},
    "a cost beyond numbers": {"prompt_tokens": 1, "completion_tokens": 1, "cost": "1e400"},
    "a negative cost": {"prompt_tokens": 1, "completion_tokens": 1, "cost": -1},
    "true": {"prompt_tokens": True, "completion_tokens": 1},
    "a list": [1, 2],
}


@pytest.mark.parametrize("usage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_in_the_usage(pro: Talker, standin: ProviderStandIn, usage: Any) -> None:
    standin["openrouter"].faults = [reply(usage)]
    assert pro.post().status_code == 200
    assert len(rows()) == 1
    assert not DeadLetter.objects.exists()
    assert budget.counters().held == 0
    assert 0 <= budget.counters().spent < 10**9


def test_a_prompt_cannot_trip_the_breaker_of_a_key(pro: Talker, standin: ProviderStandIn) -> None:
    said = {"code": 403, "message": "flagged", "metadata": {"flagged_input": "insufficient credits"}}
    standin["openrouter"].faults = [error(403, {"error": said}), None]
    assert pro.post(prompt="insufficient credits").status_code == 400
    assert pro.say()["provider"] == "openrouter"


def test_out_of_credit_closes_paid_routes_and_not_the_free_one(
    pro: Talker, free: Talker, standin: ProviderStandIn, settings: Any
) -> None:
    settings.ENVIRONMENT.pop("GROQ_API_KEY")
    standin["openrouter"].faults = [error(402), None]
    answer = pro.say()
    assert (answer["model"], answer["fallback_level"]) == ("gpt-oss-20b-free", 2)
    paid = len([call for call in standin["openrouter"].calls if not call.model.endswith(":free")])
    assert free.say()["model"] == "gpt-oss-20b-free"
    pro.say(model="claude-sonnet-4")
    assert len([call for call in standin["openrouter"].calls if not call.model.endswith(":free")]) == paid


def test_the_last_resort_is_not_there_to_be_asked_for(pro: Talker) -> None:
    assert pro.post(model="gpt-oss-20b-free").status_code == 404
    assert "gpt-oss-20b-free" not in {model["id"] for model in pro.get("/api/v2/models").json()["models"]}
