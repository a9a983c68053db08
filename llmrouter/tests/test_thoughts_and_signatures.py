"""Thoughts reach the caller, and so do their signatures: without these a provider does not take a thought back."""

from typing import Any

import pytest

from llmrouter.catalogue import forget_catalogue
from llmrouter.models import Route
from llmrouter.providers import registry
from tests.standins.provider import ProviderStandIn, error

from .scripted import chunk, last_chunk, streams, tool, whole
from .talking import Talker, events_of, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

ENCRYPTED = {"type": "reasoning.encrypted", "data": "ENC", "id": "r1", "format": "openai-responses-v1", "index": 0}
SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "SIG", "format": "anthropic-claude-v1", "index": 0}
GOOGLE = {"google": {"thought_signature": "SIG"}}
CALL = tool(None, "{}", id="c1", type="function", name="weather")

PARTS: dict[str, dict[str, Any]] = {
    "encrypted thoughts": {"reasoning_details": [ENCRYPTED]},
    "signed thoughts": {"reasoning": "hm", "reasoning_details": [SIGNED]},
    "DeepSeek's": {"reasoning_content": "hm"},
    "Gemini's": {"extra_content": GOOGLE},
}


def deltas_of(response: Any) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in events_of(response)[:-1]]


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_they_reach_the_caller(pro: Talker, standin: ProviderStandIn, part: dict[str, Any]) -> None:
    standin["openrouter"].faults = [whole({"role": "assistant", "content": "42", **part})]
    message = pro.complete().json()["choices"][0]["message"]
    assert {name: message[name] for name in part} == part
    for place in (0, 1):
        pieces = [chunk({"content": "4"}), chunk({"content": "2"})]
        pieces.insert(place, chunk({"content": "", **part}))
        standin["openrouter"].faults = [streams(*pieces, chunk({}, "stop"), last_chunk())]
        found = [delta for delta in deltas_of(pro.complete(stream=True)) if part.keys() <= delta.keys()]
        assert [{name: delta[name] for name in part} for delta in found] == [part]


def test_those_beside_a_call_of_a_tool_stay_with_it(pro: Talker, standin: ProviderStandIn) -> None:
    signed = {**CALL, "extra_content": GOOGLE}
    message = {"role": "assistant", "content": None, "tool_calls": [signed], "reasoning_details": [ENCRYPTED]}
    standin["openrouter"].faults = [whole(message, "tool_calls")]
    answered = pro.complete().json()["choices"][0]["message"]
    assert answered["tool_calls"] == [signed]
    assert answered["reasoning_details"] == [ENCRYPTED]
    pieces = [chunk({"content": "", "reasoning_details": [ENCRYPTED]}), chunk({"tool_calls": [signed]})]
    standin["openrouter"].faults = [streams(*pieces, chunk({}, "tool_calls"), last_chunk())]
    deltas = deltas_of(pro.complete(stream=True))
    assert deltas[0]["reasoning_details"] == [ENCRYPTED]
    assert [call for delta in deltas for call in delta.get("tool_calls", ())] == [{"index": 0, **signed}]


def test_before_the_first_word_they_are_no_answer_yet(pro: Talker, standin: ProviderStandIn) -> None:
    signs = chunk({"content": "", "reasoning_details": [ENCRYPTED]})
    standin["openrouter"].faults = [streams(signs, {"error": {"code": 502, "message": "died"}})]
    response = pro.complete(stream=True)
    assert response["X-IAF-Provider"] == "groq"
    assert all("reasoning_details" not in delta for delta in deltas_of(response))


@pytest.mark.parametrize(
    "part",
    [
        {"reasoning_details": "ENC"},
        {"reasoning_details": [1, None]},
        {"extra_content": []},
        {"annotations": "none"},
        {"audio": {"data": "x"}},
        {"native_field": 1},
    ],
)
def test_what_is_none_of_them_is_dropped(pro: Talker, standin: ProviderStandIn, part: dict[str, Any]) -> None:
    standin["openrouter"].faults = [whole({"role": "assistant", "content": "42", **part})]
    assert not part.keys() & pro.complete().json()["choices"][0]["message"].keys()


@pytest.mark.parametrize("thought", [{"text": "hm"}, [{"text": "h"}, "m"], "hm"])
def test_thoughts_in_any_type_are_text(pro: Talker, standin: ProviderStandIn, thought: Any) -> None:
    standin["openrouter"].faults = [whole({"role": "assistant", "content": "42", "reasoning": thought})]
    assert pro.complete().json()["choices"][0]["message"]["reasoning"] == "hm"


def test_thoughts_alone_are_an_answer(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [whole({"role": "assistant", "content": None, "reasoning": "hm"})]
    response = pro.complete()
    assert response["X-IAF-Provider"] == "openrouter"
    assert response.json()["choices"][0]["message"]["reasoning"] == "hm"


def test_anthropics_signatures_reach_the_caller(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    """Under the names that OpenRouter has for them; a hidden thought has nothing but its data."""
    settings.ENVIRONMENT |= {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": standin.url("anthropic")}
    registry.forget_connections()
    Route.objects.filter(model_id="claude-sonnet-4").update(provider="anthropic", upstream="claude-sonnet-4-20250514")
    forget_catalogue()
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "SIG"},
        {"type": "redacted_thinking", "data": "ENC"},
        {"type": "text", "text": "42"},
    ]
    usage = {"input_tokens": 10, "output_tokens": 20}
    standin["anthropic"].faults = [error(200, {"content": blocks, "stop_reason": "end_turn", "usage": usage})]
    message = pro.complete(model="claude-sonnet-4").json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("42", "hm")
    assert message["reasoning_details"] == [
        SIGNED,
        {"type": "reasoning.encrypted", "data": "ENC", "format": "anthropic-claude-v1", "index": 1},
    ]
    assert rows()[0].tokens_output == 20
