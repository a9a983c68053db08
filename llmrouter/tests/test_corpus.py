"""Every shape of answer that a provider is known to give, through every door, whole and streamed."""

import json
from decimal import Decimal
from typing import Any

import openai
import pytest

from billing.money import dollars
from llmrouter.providers.registry import PROVIDERS
from tests.standins.provider import ProviderStandIn
from usage import budget

from .clients import Answered, answered, as_event_source, by_iter_lines, streamed_by_sdk, strict_json, whole_by_sdk
from .scripted import added_up
from .shapes import CORPUS, Shape, all_shapes, play
from .talking import Talker, rows

SHAPES = all_shapes()
DOORS = {"v1": "/v1/chat/completions", "v2": "/api/v2/chat"}
ASKED = {
    "model": "gpt-4o",
    # As long as the longest prompt that a shape counts the tokens of.
    "messages": [{"role": "user", "content": "Bonjour. " * 250}],
    "max_tokens": 300,
}
STREAMED = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
THOUGHTS = ("reasoning", "reasoning_content")


@pytest.fixture(params=SHAPES, ids=[shape.id for shape in SHAPES])
def shape(request: Any, standin: ProviderStandIn, settings: Any, db: None) -> Shape:
    found: Shape = request.param
    play(found, standin, settings)
    return found


def test_every_provider_has_its_shapes() -> None:
    """And every file says what is in it."""
    assert {shape.provider for shape in SHAPES} == set(PROVIDERS) - {"demo"}
    files = {f"{path.parent.name}/{path.name}" for kind in ("json", "sse") for path in CORPUS.glob(f"*/*.{kind}")}
    assert files == {shape.id for shape in SHAPES}


def test_every_door_reads_it(shape: Shape, pro: Talker) -> None:
    check = failed if shape.fails else read
    holds = [(check(shape, door, pro, stream=False), check(shape, door, pro, stream=True))[1] for door in DOORS]
    assert budget.counters().held == 0
    if shape.fails:
        return
    bills = [(row.cost_usd, row.estimated) for row in rows()]
    if shape.expected["cost"] == "hold":
        assert bills == [(hold, True) for hold in holds for _ in range(2)]
    else:
        assert bills == [(Decimal(shape.expected["cost"]), False)] * 4


def ask(door: str, pro: Talker, *, stream: bool) -> tuple[Answered, Decimal]:
    """What the door answers, and what was held meanwhile (of a stream)."""
    response = pro.send(DOORS[door], STREAMED if stream else ASKED)
    held = dollars(budget.counters().held)
    return answered(response), held


def read(shape: Shape, door: str, pro: Talker, *, stream: bool) -> Decimal:
    answer, held = ask(door, pro, stream=stream)
    assert answer.status == 200, answer.body
    if stream:
        check_stream(shape, door, answer)
    elif door == "v1":
        check_completion(shape, whole_by_sdk(answer).model_dump())
        assert strict_json(answer.body)["choices"]
    else:
        check_account(shape, strict_json(answer.body))
    return held


def check_stream(shape: Shape, door: str, answer: Answered) -> None:
    events = as_event_source(answer)
    assert {kind for kind, _ in events} == {"message"}
    data = [text for _, text in events]
    assert data[-1] == "[DONE]"
    assert by_iter_lines(answer) == data
    parsed = [strict_json(text) for text in data[:-1]]
    assert added_up(parsed)["reasons"] == [shape.expected["finish"]]
    assert added_up(parsed)["content"] == shape.text
    if door == "v1":
        check_completion(shape, streamed_by_sdk(answer).model_dump())
    else:
        check_account(shape, parsed[-1])


def check_completion(shape: Shape, completion: dict[str, Any]) -> None:
    """An answer in OpenAI's form, put together by OpenAI's SDK."""
    expected, (choice,) = shape.expected, completion["choices"]
    message = choice["message"]
    assert message["role"] == "assistant"
    assert (message["content"] or "") == shape.text
    assert message["refusal"] == expected.get("refusal")
    assert thoughts_of(message) == expected.get("reasoning", "")
    assert calls_of(message) == expected.get("calls", [])
    assert len(message.get("annotations") or ()) == expected.get("annotations", 0)
    assert expected.get("signature", "") in json.dumps(message)
    assert choice["finish_reason"] == expected["finish"]
    check_usage(shape, completion["usage"])


def thoughts_of(message: dict[str, Any]) -> str:
    return next((text for name in THOUGHTS if (text := message.get(name))), "")


def calls_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls") or ()
    assert all(call["id"] and call["type"] == "function" for call in calls)
    return [
        {"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])} for call in calls
    ]


def check_usage(shape: Shape, usage: dict[str, Any]) -> None:
    expected = shape.expected
    if "tokens" in expected:
        assert [usage["prompt_tokens"], usage["completion_tokens"]] == expected["tokens"]
        assert usage["total_tokens"] == sum(expected["tokens"])
        assert usage["prompt_tokens_details"]["cached_tokens"] == expected.get("cached", 0)
    if expected["cost"] != "hold":
        assert Decimal(str(usage["cost"])) == Decimal(expected["cost"])


def check_account(shape: Shape, account: dict[str, Any]) -> None:
    """What `/api/v2/chat` tells of an answer."""
    # A refusal has no field of its own there.
    assert account["response"] == (shape.text or shape.expected.get("refusal", ""))
    assert account["finish_reason"] == shape.expected["finish"]
    if "tokens" in shape.expected:
        assert list(account["tokens"].values()) == shape.expected["tokens"]
    assert account["provider"] == shape.provider


def failed(shape: Shape, door: str, pro: Talker, *, stream: bool) -> None:
    """An answer that is none: refused with a status before its first word, and by an event behind it."""
    answer, _ = ask(door, pro, stream=stream)
    if not (stream and shape.text):
        assert answer.status in (502, 503), answer.body
        assert strict_json(answer.body)["error"]
        return
    events = [strict_json(text) for _, text in as_event_source(answer) if text != "[DONE]"]
    found = added_up(events)
    assert (found["content"], found["reasons"]) == (shape.text, [])
    assert found["error"]["code"]
    with pytest.raises(openai.APIError):
        streamed_by_sdk(answer)
