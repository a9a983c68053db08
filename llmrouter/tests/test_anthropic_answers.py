"""Anthropic's own answers get the same treatment as those of OpenAI's dialect."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from llmrouter.catalogue import forget_catalogue
from llmrouter.models import Route
from llmrouter.providers import registry
from tests.standins.provider import ProviderStandIn, error

from .scripted import added_up, streams
from .talking import Talker, events_of, rows

pytestmark = pytest.mark.django_db

TEXT = {"type": "text", "text": "ab"}
USAGE = {"input_tokens": 10, "output_tokens": 20}


@pytest.fixture(autouse=True)
def direct(standin: ProviderStandIn, settings: Any) -> None:
    settings.ENVIRONMENT |= {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": standin.url("anthropic")}
    registry.forget_connections()
    Route.objects.filter(model_id="claude-sonnet-4").update(provider="anthropic", upstream="claude-sonnet-4-20250514")
    forget_catalogue()


def begins(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"type": "message", "usage": usage or {**USAGE, "output_tokens": 1}}}


def says(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def ends(reason: Any = "end_turn", usage: Any = None) -> list[dict[str, Any]]:
    told = {"output_tokens": 20} if usage is None else usage
    return [{"type": "message_delta", "delta": {"stop_reason": reason}, "usage": told}, {"type": "message_stop"}]


def whole(content: Sequence[Any], reason: Any = "end_turn", **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": content, "stop_reason": reason, "usage": USAGE, **more}


def asked(pro: Talker) -> Any:
    return pro.complete(model="claude-sonnet-4")


def streamed(pro: Talker, standin: ProviderStandIn, *events: Any, **how: Any) -> dict[str, Any]:
    standin["anthropic"].faults = [streams(*events, last="", **how)]
    return added_up(events_of(pro.complete(model="claude-sonnet-4", stream=True)))


def test_a_stream_that_answers_a_plain_call_is_put_together(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [streams(begins(), says("a"), says("b"), *ends(), last="")]
    response = asked(pro)
    assert (response["X-IAF-Provider"], response.json()["choices"][0]["message"]["content"]) == ("anthropic", "ab")
    assert rows()[0].tokens_output == 20


def test_a_stream_for_a_plain_call_that_breaks_off_is_a_failure(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [streams(begins(), says("a"), last="")]
    assert asked(pro)["X-IAF-Provider"] != "anthropic"


def test_an_answer_without_a_usage_is_one(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [error(200, whole([TEXT], usage=None))]
    assert asked(pro)["X-IAF-Provider"] == "anthropic"
    assert rows()[0].estimated


@pytest.mark.parametrize("reason", [None, "something_new"])
def test_an_unknown_reason_is_an_end(pro: Talker, standin: ProviderStandIn, reason: Any) -> None:
    standin["anthropic"].faults = [error(200, whole([TEXT], reason))]
    assert asked(pro).json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("last", [{"output_tokens": 0}, {"output_tokens": None}, {}, {"input_tokens": 0}])
def test_zeros_in_the_last_usage_cost_the_hold(pro: Talker, standin: ProviderStandIn, last: Any) -> None:
    found = streamed(pro, standin, begins(), says("mot " * 40), *ends(usage=last))
    assert found["reasons"] == ["stop"]
    assert rows()[0].estimated


def test_counts_in_the_last_usage_do_not_shrink_the_first(pro: Talker, standin: ProviderStandIn) -> None:
    streamed(pro, standin, begins(), says("ab"), *ends(usage={"input_tokens": 0, "output_tokens": 20.0}))
    (row,) = rows()
    assert (row.tokens_input, row.tokens_output, row.estimated) == (10, 20, False)


def test_a_stream_is_whole_once_it_gave_its_reason(pro: Talker, standin: ProviderStandIn) -> None:
    """`message_stop` has nothing more to say."""
    found = streamed(pro, standin, begins(), says("ab"), ends()[0])
    assert (found["content"], found["reasons"], found["error"]) == ("ab", ["stop"], None)
    assert not rows()[0].estimated


@pytest.mark.parametrize("events", [[begins()], [begins(), *ends()], [begins(), says(""), *ends()]])
def test_a_stream_without_a_word_is_a_failure(pro: Talker, standin: ProviderStandIn, events: list[Any]) -> None:
    standin["anthropic"].faults = [streams(*events, last="")]
    response = pro.complete(model="claude-sonnet-4", stream=True)
    assert (response["X-IAF-Provider"], events_of(response)[-1]) == ("groq", "[DONE]")


def test_a_whole_answer_without_a_word_is_a_failure(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [error(200, whole([]))]
    assert asked(pro)["X-IAF-Provider"] == "groq"
    assert (rows()[0].error_message, rows()[0].tokens_output) == ("empty", 20)


@pytest.mark.parametrize(
    "wrong", [{"type": "error", "error": {"type": "api_error"}}, {"detail": "no"}, {"message": "no", "code": 500}]
)
def test_an_error_under_a_200_is_one(pro: Talker, standin: ProviderStandIn, wrong: Any) -> None:
    standin["anthropic"].faults = [error(200, wrong)]
    assert asked(pro)["X-IAF-Provider"] == "groq"
    found = streamed(pro, standin, begins(), says("ab"), wrong)
    assert (found["content"], found["error"]["code"]) == ("ab", "provider_failed")


def test_a_call_whose_input_comes_at_once_is_whole(pro: Talker, standin: ProviderStandIn) -> None:
    used = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oran"}}
    found = streamed(
        pro,
        standin,
        begins(),
        {"type": "content_block_start", "index": 0, "content_block": used},
        {"type": "content_block_start", "index": 1, "content_block": {**used, "id": "t2", "name": "now", "input": {}}},
        *ends("tool_use"),
    )
    assert [json.loads(call["arguments"]) for call in found["calls"].values()] == [{"city": "Oran"}, {}]
    assert found["reasons"] == ["tool_calls"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
def test_a_stream_is_one_whatever_its_type_says(pro: Talker, standin: ProviderStandIn, content_type: str) -> None:
    found = streamed(pro, standin, begins(), says("ab"), *ends(), content_type=content_type)
    assert (found["content"], found["error"]) == ("ab", None)


def test_a_whole_answer_to_who_asked_for_a_stream(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [error(200, whole([TEXT]))]
    assert added_up(events_of(pro.complete(model="claude-sonnet-4", stream=True)))["content"] == "ab"


def test_an_answer_under_201_is_one(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [error(201, whole([TEXT]))]
    assert asked(pro)["X-IAF-Provider"] == "anthropic"
    assert streamed(pro, standin, begins(), says("ab"), *ends(), status=201)["content"] == "ab"


def test_events_that_nobody_knows_are_passed_over(pro: Talker, standin: ProviderStandIn) -> None:
    odd = [{"type": "new_event"}, {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta"}}, {}]
    found = streamed(pro, standin, begins(), *odd, says("ab"), {"type": "content_block_delta"}, *ends())
    assert (found["content"], found["error"]) == ("ab", None)


def test_halves_of_characters_meet(pro: Talker, standin: ProviderStandIn) -> None:
    event = b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "%b"}}\n\n'
    found = streamed(pro, standin, begins(), event % b"\\ud83d", event % b"\\ude00 \xd9", event % b"\x85", *ends())
    assert found["content"] == "😀 م"
