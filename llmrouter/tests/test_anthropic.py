"""Anthropic's own dialect: a chat there and back, prompt cache, tools and thinking included."""

import json
from decimal import Decimal
from typing import Any

import pytest

from llmrouter.catalogue import forget_catalogue
from llmrouter.models import Route
from llmrouter.providers import registry
from tests.standins.provider import Call, Handler, ProviderStandIn, error

from .talking import Talker, events_of, rows, text_of

pytestmark = pytest.mark.django_db

USAGE = {
    "input_tokens": 100,
    "cache_read_input_tokens": 400,
    "cache_creation_input_tokens": 200,
    "output_tokens": 50,
}
# 100 at 3, 400 at 0.30, 200 at 3.75 and 50 at 15 dollars per million.
COST = Decimal("0.000300") + Decimal("0.000120") + Decimal("0.000750") + Decimal("0.000750")


@pytest.fixture(autouse=True)
def direct(standin: ProviderStandIn, settings: Any) -> None:
    """`claude-sonnet-4` straight from Anthropic."""
    settings.ENVIRONMENT |= {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": standin.url("anthropic")}
    registry.forget_connections()
    prices = {"input": "3", "output": "15", "cache_read": "0.3", "cache_write": "3.75"}
    Route.objects.filter(model_id="claude-sonnet-4").update(
        provider="anthropic", upstream="claude-sonnet-4-20250514", list_prices=prices
    )
    forget_catalogue()


def answers(content: list[dict[str, Any]], stop_reason: str = "end_turn") -> Any:
    return error(200, {"type": "message", "content": content, "stop_reason": stop_reason, "usage": USAGE})


def streams(*events: dict[str, Any]) -> Any:
    def misbehave(handler: Handler, call: Call) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for event in events:
            handler.chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        handler.chunk(b"")

    return misbehave


def test_a_chat(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [answers([{"type": "text", "text": "Bonjour."}])]
    response = pro.complete(
        model="claude-sonnet-4",
        messages=[
            {"role": "system", "content": "Sois bref."},
            {"role": "user", "content": "Un"},
            {"role": "user", "content": [{"type": "text", "text": "deux", "cache_control": {"type": "ephemeral"}}]},
        ],
        max_tokens=300,
        temperature=1.8,
        stop="\n",
        user="u1",
    )
    body = response.json()
    assert body["choices"][0]["message"]["content"] == "Bonjour."
    assert (body["usage"]["prompt_tokens"], body["usage"]["prompt_tokens_details"]["cached_tokens"]) == (700, 400)
    (call,) = standin["anthropic"].calls
    assert call.body == {
        "model": "claude-sonnet-4-20250514",
        "max_tokens": 300,
        "stream": False,
        "system": [{"type": "text", "text": "Sois bref."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Un"},
                    {"type": "text", "text": "deux", "cache_control": {"type": "ephemeral"}},
                ],
            }
        ],
        "temperature": 1,
        "stop_sequences": ["\n"],
        "metadata": {"user_id": "u1"},
    }
    assert rows()[0].cost_usd == COST


def test_tools(pro: Talker, standin: ProviderStandIn) -> None:
    used = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oran"}}
    standin["anthropic"].faults = [answers([used], "tool_use")]
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    asked = [
        {"role": "user", "content": "?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t0", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "t0", "content": "22 °C"},
        {"role": "user", "content": "Et à Oran ?"},
    ]
    response = pro.complete(
        model="claude-sonnet-4", messages=asked, tools=[tool], tool_choice="required", parallel_tool_calls=False
    )
    (choice,) = response.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oran"}'}}
    ]
    (call,) = standin["anthropic"].calls
    assert call.body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert call.body["tools"] == [{"name": "weather", "description": "", "input_schema": {"type": "object"}}]
    assert [turn["role"] for turn in call.body["messages"]] == ["user", "assistant", "user"]
    assert call.body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "t0", "name": "weather", "input": {"a": 1}}
    ]
    assert [block["type"] for block in call.body["messages"][2]["content"]] == ["tool_result", "text"]


def test_thinking(pro: Talker, standin: ProviderStandIn) -> None:
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "42"}]
    standin["anthropic"].faults = [answers(blocks)]
    response = pro.complete(model="claude-sonnet-4", reasoning_effort="low", max_tokens=3000, temperature=0.2)
    assert response.json()["choices"][0]["message"]["reasoning_content"] == "hm"
    (call,) = standin["anthropic"].calls
    assert call.body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert "temperature" not in call.body


def test_a_stream(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [
        streams(
            {"type": "message_start", "message": {"usage": {**USAGE, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bon"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "jour"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'},
            },
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 50}},
            {"type": "message_stop"},
        )
    ]
    events = events_of(pro.complete(model="claude-sonnet-4", stream=True, stream_options={"include_usage": True}))
    assert text_of(events) == "Bonjour"
    calls = [
        call for event in events[:-1] for choice in event["choices"] for call in choice["delta"].get("tool_calls", ())
    ]
    assert [call["index"] for call in calls] == [0, 0]
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1}'
    assert events[-2]["usage"]["prompt_tokens"] == 700
    (row,) = rows()
    assert (row.finish_reason, row.cost_usd, row.estimated) == ("tool_calls", COST, False)


def test_an_error_in_a_stream(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [
        streams(
            {"type": "message_start", "message": {"usage": USAGE}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bon"}},
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
        )
    ]
    events = events_of(pro.complete(model="claude-sonnet-4", stream=True))
    assert events[-1]["error"]["code"] == "provider_failed"
    assert rows()[0].estimated


def test_overloaded_falls_back(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [error(529, {"type": "error", "error": {"type": "overloaded_error"}})]
    assert pro.say(model="claude-sonnet-4")["provider"] == "groq"


def asked(pro: Talker, standin: ProviderStandIn, **body: Any) -> dict[str, Any]:
    """What Anthropic gets of a chat."""
    standin["anthropic"].faults = [answers([{"type": "text", "text": "Bon."}])]
    assert pro.complete(model="claude-sonnet-4", **body).status_code == 200
    return standin["anthropic"].calls[-1].body


WEATHER = {"type": "function", "function": {"name": "weather", "description": None, "parameters": {"properties": {}}}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "t0", "function": {"name": "weather"}}]}
ANSWERED = {"role": "tool", "tool_call_id": "t0", "content": "22 °C"}
ASK = {"role": "user", "content": "Météo ?"}
THINK = {"reasoning_effort": "medium", "max_tokens": 6000, "tools": [WEATHER]}


def test_thinking_fits_into_the_answer(pro: Talker, standin: ProviderStandIn) -> None:
    sent = asked(pro, standin, reasoning_effort="high", max_tokens=6000)
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 3000}
    assert "thinking" not in asked(pro, standin, reasoning_effort="high", max_tokens=2000)


def test_no_thinking_where_anthropic_refuses_it(pro: Talker, standin: ProviderStandIn) -> None:
    """Before a forced tool, and after a call whose own (signed) thoughts did not come back with it."""
    assert "thinking" in asked(pro, standin, messages=[ASK], **THINK)
    assert "thinking" not in asked(pro, standin, messages=[ASK], **THINK, tool_choice="required")
    assert "thinking" not in asked(pro, standin, messages=[ASK, CALLED, ANSWERED], **THINK)
    assert "thinking" not in asked(pro, standin, messages=[ASK, CALLED, ANSWERED, ASK], **THINK)
    done = [ASK, CALLED, ANSWERED, {"role": "assistant", "content": "Beau."}, ASK]
    assert "thinking" in asked(pro, standin, messages=done, **THINK)


def test_one_way_to_choose_among_words(pro: Talker, standin: ProviderStandIn) -> None:
    """The newer models refuse both at once."""
    sent = asked(pro, standin, temperature=0.3, top_p=0.9)
    assert sent["temperature"] == 0.3
    assert "top_p" not in sent
    assert asked(pro, standin, top_p=0.9)["top_p"] == 0.9


def test_a_history_that_another_model_wrote(pro: Talker, standin: ProviderStandIn) -> None:
    """Nothing said, blanks, arguments that are no object: Anthropic would refuse each, and so the chat for ever."""

    def calling(arguments: str) -> dict[str, Any]:
        function = {"name": "weather", "arguments": arguments}
        return {"role": "assistant", "content": " ", "tool_calls": [{"id": "t0", "function": function}]}

    empty = {"role": "assistant", "content": ""}
    sent = asked(pro, standin, messages=[ASK, empty, ASK, calling('{"city": "Or'), ANSWERED], tools=[WEATHER])
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    (used,) = sent["messages"][1]["content"]
    assert used["input"] == {"arguments": '{"city": "Or'}
    assert sent["tools"][0] == {
        "name": "weather",
        "description": "",
        "input_schema": {"type": "object", "properties": {}},
    }
    sent = asked(pro, standin, messages=[ASK, calling("[1]"), ANSWERED], tools=[WEATHER])
    assert sent["messages"][1]["content"][0]["input"] == {"arguments": [1]}


def test_images(pro: Talker, standin: ProviderStandIn) -> None:
    urls = ["https://example.dz/a.png", "data:image/png;base64,iVBORw0KGgo="]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    sent = asked(pro, standin, messages=[{"role": "user", "content": parts}])
    assert [block["source"] for block in sent["messages"][0]["content"]] == [
        {"type": "url", "url": urls[0]},
        {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
    ]


def test_a_json_schema_is_asked_for_in_words(pro: Talker, standin: ProviderStandIn) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    sent = asked(pro, standin, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert json.dumps(schema, separators=(",", ":")) in sent["system"][0]["text"]
    assert "JSON object" in asked(pro, standin, response_format={"type": "json_object"})["system"][0]["text"]


def test_thinking_in_a_stream(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [
        streams(
            {"type": "message_start", "message": {"usage": {**USAGE, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "42"}},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 50}},
            {"type": "message_stop"},
        )
    ]
    events = events_of(pro.complete(model="claude-sonnet-4", stream=True))
    assert text_of(events) == "42"
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert [delta.get("reasoning_content") for delta in deltas] == ["hm", None, None, None]
    # The signature, without which Anthropic does not take the thought back.
    assert [part.get("signature") for delta in deltas for part in delta.get("reasoning_details", ())] == [None, "EqQB"]
    assert events[-2]["choices"][0]["finish_reason"] == "length"


def test_overloaded_before_the_first_word_falls_back(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [
        streams(
            {"type": "message_start", "message": {"usage": USAGE}},
            {"type": "ping"},
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
        )
    ]
    response = pro.complete(model="claude-sonnet-4", stream=True)
    assert (response["X-IAF-Provider"], events_of(response)[-1]) == ("groq", "[DONE]")


def test_a_stream_that_is_cut_is_billed_at_its_bound(pro: Talker, standin: ProviderStandIn) -> None:
    standin["anthropic"].faults = [
        streams(
            {"type": "message_start", "message": {"usage": USAGE}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bon"}},
        )
    ]
    events = events_of(pro.post(model="claude-sonnet-4", stream=True))
    assert events[-1]["error"]["code"] == "provider_failed"
    assert rows()[0].cost_usd > COST
