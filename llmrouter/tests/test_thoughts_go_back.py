"""Thoughts and signatures go back to the providers that gave them; others neither get them nor hold money for them."""

from typing import Any

import pytest

from llmrouter.catalogue import forget_catalogue
from llmrouter.models import Route
from llmrouter.providers import registry
from tests.standins.provider import ProviderStandIn, error
from usage import budget

from .scripted import chunk, last_chunk, streams
from .talking import Talker
from .test_dialects_of_providers import serve_by

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

USER = {"role": "user", "content": "Bonjour"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
GOOGLE = {"google": {"thought_signature": "SIG"}}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "ENC", "format": "openai-responses-v1", "index": 0}
THOUGHT: dict[str, Any] = {
    "reasoning": "hm",
    "reasoning_content": "hm",
    "reasoning_details": [ENCRYPTED],
    "extra_content": GOOGLE,
}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "22"}


def history(**thought: Any) -> list[dict[str, Any]]:
    signed = {**CALL, "extra_content": GOOGLE, "thought_signature": "SIG"}
    return [USER, {"role": "assistant", "content": None, "tool_calls": [signed], **thought}, RESULT]


KNOWN: dict[str, set[str]] = {
    "openrouter": {"reasoning", "reasoning_content", "reasoning_details"},
    "deepseek": {"reasoning_content"},
    "moonshot": {"reasoning_content"},
    "fireworks": {"reasoning_content"},
    "gemini": {"extra_content"},
    "openai": set(),
    "mistral": set(),
    "xai": set(),
}


@pytest.mark.parametrize(("provider", "known"), KNOWN.items(), ids=KNOWN)
def test_each_provider_gets_back_what_it_knows(
    pro: Talker, standin: ProviderStandIn, settings: Any, provider: str, known: set[str]
) -> None:
    if provider != "openrouter":
        serve_by(provider, standin, settings)
    response = pro.complete(messages=history(**THOUGHT), tools=[WEATHER])
    assert response["X-IAF-Provider"] == provider
    message = standin[provider].calls[0].body["messages"][1]
    assert {name: message[name] for name in THOUGHT if name in message} == {name: THOUGHT[name] for name in known}
    signed = provider == "gemini"
    assert ("extra_content" in message["tool_calls"][0], "thought_signature" in message["tool_calls"][0]) == (
        signed,
        signed,
    )


def test_the_stand_in_does_not_get_them(pro: Talker, standin: ProviderStandIn) -> None:
    """Groq refuses a field that it does not know: the fallback would fail of it."""
    standin["openrouter"].faults = [error(500)]
    assert pro.complete(messages=history(**THOUGHT), tools=[WEATHER])["X-IAF-Provider"] == "groq"
    assert standin["groq"].calls[0].body["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [CALL]}


def held(pro: Talker, standin: ProviderStandIn, messages: list[dict[str, Any]]) -> int:
    """Nano-dollars that are held while the answer is on its way."""
    response: Any = pro.complete(messages=messages, tools=[WEATHER], stream=True, max_tokens=100)
    found = int(budget.counters().held)
    b"".join(response.streaming_content)
    return found


@pytest.mark.parametrize("provider", ["openrouter", "deepseek", "openai"])
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning_details"])
def test_money_is_held_for_thoughts_that_are_sent(
    pro: Talker, standin: ProviderStandIn, settings: Any, provider: str, name: str
) -> None:
    if provider != "openrouter":
        serve_by(provider, standin, settings)
    long = {"reasoning_content": "h" * 10_000, "reasoning_details": [{**ENCRYPTED, "data": "h" * 10_000}]}[name]
    more = held(pro, standin, history(**{name: long})) - held(pro, standin, history())
    price = 2500 if provider == "openrouter" else 1000
    if name in KNOWN[provider]:
        assert 10_000 * price <= more <= 10_300 * price
    else:
        assert more == 0


def test_signatures_beside_a_call_are_held_for_where_they_go(
    pro: Talker, standin: ProviderStandIn, settings: Any
) -> None:
    signed = {**CALL, "extra_content": {"google": {"thought_signature": "S" * 10_000}}}
    messages: list[dict[str, Any]] = [USER, {"role": "assistant", "content": None, "tool_calls": [signed]}, RESULT]
    plain: list[dict[str, Any]] = [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT]
    assert held(pro, standin, messages) == held(pro, standin, plain)
    serve_by("gemini", standin, settings)
    assert held(pro, standin, messages) - held(pro, standin, plain) >= 10_000 * 1000


@pytest.mark.parametrize(
    "thought",
    [
        {"reasoning": {"text": "hm"}},
        {"reasoning_content": 7},
        {"reasoning_details": "ENC"},
        {"reasoning_details": ["ENC"]},
        {"reasoning_details": []},
        {"extra_content": "x"},
        {"reasoning": None},
    ],
)
def test_what_is_no_thought_is_dropped(pro: Talker, standin: ProviderStandIn, thought: dict[str, Any]) -> None:
    assert pro.complete(messages=history(**thought), tools=[WEATHER]).status_code == 200
    assert not standin["openrouter"].calls[0].body["messages"][1].keys() & thought.keys()


def test_a_user_has_no_thoughts(pro: Talker, standin: ProviderStandIn) -> None:
    assert pro.complete(messages=[{**USER, **THOUGHT}]).status_code == 200
    assert standin["openrouter"].calls[0].body["messages"] == [USER]


# Anthropic's own dialect

SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "SIG", "format": "anthropic-claude-v1", "index": 0}
IN_PARTS = [
    {"type": "reasoning.text", "text": "h", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": "m", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "SIG", "format": "anthropic-claude-v1", "index": 0},
]
HIDDEN = {"type": "reasoning.encrypted", "data": "ENC", "format": "anthropic-claude-v1", "index": 1}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "SIG"}


@pytest.mark.parametrize(
    ("details", "blocks"),
    [
        ([SIGNED], [THINKING]),
        (IN_PARTS, [THINKING]),
        ([SIGNED, HIDDEN], [THINKING, {"type": "redacted_thinking", "data": "ENC"}]),
        ([ENCRYPTED], []),
        ([{**SIGNED, "signature": None}], []),
    ],
)
def test_anthropics_thoughts_go_back_as_its_own_blocks(
    pro: Talker, standin: ProviderStandIn, settings: Any, details: list[dict[str, Any]], blocks: list[dict[str, Any]]
) -> None:
    """And then it may go on thinking in the middle of tools, which it refuses without them."""
    settings.ENVIRONMENT |= {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": standin.url("anthropic")}
    registry.forget_connections()
    Route.objects.filter(model_id="claude-sonnet-4").update(provider="anthropic", upstream="claude-sonnet-4-20250514")
    forget_catalogue()
    whole = {"content": [{"type": "text", "text": "42"}], "stop_reason": "end_turn"}
    standin["anthropic"].faults = [error(200, {**whole, "usage": {"input_tokens": 10, "output_tokens": 20}})]
    called = {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_details": details}
    response = pro.complete(
        model="claude-sonnet-4",
        messages=[USER, called, RESULT],
        tools=[WEATHER],
        reasoning_effort="low",
        max_tokens=4000,
    )
    assert response.status_code == 200, response.content
    body = standin["anthropic"].calls[0].body
    assert body["messages"][1]["content"][:-1] == blocks
    assert ("thinking" in body) == bool(blocks)


def test_thoughts_that_are_not_wanted_stay_out_of_the_answer(pro: Talker, standin: ProviderStandIn) -> None:
    pieces = [chunk({"reasoning": "hm", "reasoning_details": [ENCRYPTED]}), chunk({"content": "42"})]
    standin["openrouter"].faults = [streams(*pieces, chunk({}, "stop"), last_chunk())]
    response: Any = pro.complete(stream=True, reasoning={"effort": "low", "exclude": True})
    content = b"".join(response.streaming_content)
    assert b"42" in content
    assert b"hm" not in content
    assert b"ENC" not in content
