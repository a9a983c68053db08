"""Whatever a provider sends, in whatever pieces: no exception but ours, no text lost, and chunks that OpenAI's own
types accept."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessage

from llmrouter.errors import RouterError
from llmrouter.providers import anthropic, openai
from llmrouter.providers.base import Reader, until_trouble
from llmrouter.providers.normaliser import reply_of
from llmrouter.providers.registry import PROVIDERS, Connection
from llmrouter.types import Chat, Piece, Upstream
from llmrouter.v1.answers import ChunkWriter

from .scripted import added_up

CONNECTION = Connection(PROVIDERS["openrouter"], "http://x", (), free=False)
CALL = Upstream(model="m", messages=(), max_tokens=1000)
CHAT = Chat(model="m", messages=(), max_tokens=None, parameters={}, input_bytes=0)
STREAMED: Any = SimpleNamespace(
    journey=SimpleNamespace(ticket=SimpleNamespace(request_id="r"), chat=CHAT),
    way=SimpleNamespace(route=SimpleNamespace(serves="m")),
    is_waiting=False,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(st.characters(), max_size=4),
    lambda parts: st.lists(parts, max_size=2) | st.dictionaries(st.text(max_size=4), parts, max_size=2),
    max_leaves=5,
)
TEXT = st.text(st.characters(), min_size=1, max_size=6)
INDEX = st.sampled_from([0, 0, 1, 2, "0", None, -1, 1.0])
NAME = st.sampled_from(["f", "f", "g", "", None])
ARGUMENTS = st.sampled_from(["", "{", "}", "{}", '{"a":', "1}", None, {}, {"a": 1}, 7, "م", "\ud83d"])
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "function": st.fixed_dictionaries({}, optional={"name": NAME, "arguments": ARGUMENTS}) | JSON,
        "index": INDEX,
        "id": st.sampled_from(["a", "b", "", None, 3]),
        "extra_content": JSON,
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant") | JSON,
        "content": TEXT | JSON,
        "reasoning": TEXT | JSON,
        "reasoning_content": TEXT | JSON,
        "reasoning_details": JSON | st.lists(st.fixed_dictionaries({"text": JSON}), max_size=2),
        "refusal": JSON,
        "annotations": JSON,
        "extra_content": JSON,
        "tool_calls": st.lists(ENTRY | JSON, max_size=3) | JSON,
        "function_call": JSON,
    },
)
COUNT = st.integers(-1, 50) | JSON
USAGE = JSON | st.fixed_dictionaries(
    {}, optional={"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT, "cost": COUNT}
)
REASON = st.sampled_from([None, None, None, "", "stop", "MAX_TOKENS", "tool_calls", "tool_use", 1]) | JSON
CHUNK = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {"delta": DELTA | JSON},
                optional={"finish_reason": REASON, "logprobs": JSON, "message": DELTA | JSON, "usage": USAGE},
            ),
            min_size=1,
            max_size=2,
        )
    },
    optional={"usage": USAGE, "provider": JSON, "x_groq": JSON},
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking", "x"]) | JSON},
    optional={"text": TEXT | JSON, "id": JSON, "name": NAME, "input": ARGUMENTS, "thinking": JSON, "data": JSON},
)
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text_delta", "input_json_delta", "thinking_delta", "signature_delta"]) | JSON},
    optional={"text": TEXT | JSON, "partial_json": ARGUMENTS, "thinking": JSON, "signature": JSON},
)
EVENT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop", "ping"]
        )
    },
    optional={"index": INDEX, "content_block": BLOCK | JSON, "delta": PART | JSON, "usage": USAGE, "message": JSON},
)


def written(event: Any) -> bytes:
    """As JSON with escapes, so that it may hold NaN and halves of characters."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def read(reader: Reader, chunks: list[bytes]) -> tuple[list[Piece], RouterError | None]:
    """All pieces, and the trouble that ended them, if any."""
    pieces: list[Piece] = []
    for chunk in chunks:
        found, trouble = until_trouble(reader.read(chunk))
        pieces += found
        if trouble is not None or reader.done:
            return pieces, trouble
    found, trouble = until_trouble(reader.end())
    return pieces + found, trouble


def cut(data: Any, events: list[Any]) -> list[bytes]:
    text = b"".join(map(written, events))
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]


def openai_reader() -> Reader:
    return openai.PieceReader(CONNECTION, CALL, {})


def anthropic_reader() -> Reader:
    return anthropic.Translator(PROVIDERS["anthropic"], "m")


def check(pieces: list[Piece], trouble: RouterError | None) -> list[Any]:
    """What clients read: valid for their types, calls of tools that add up, one reason, at the end."""
    text = ChunkWriter(STREAMED).write(pieces).decode()
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
    for event in events:
        # Clients take these as they come.
        choices = [{**choice, "logprobs": None} for choice in event["choices"]]
        ChatCompletionChunk.model_validate({**event, "choices": choices})
    found = added_up(events)
    assert sorted(found["calls"]) == list(range(len(found["calls"])))
    ids = [call["id"] for call in found["calls"].values()]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert all(call["name"] for call in found["calls"].values())
    if trouble is None:
        assert len(found["reasons"]) == 1
        assert events[-1]["choices"][0]["finish_reason"]
        assert all(call["arguments"] for call in found["calls"].values())
    else:
        assert found["reasons"] == []
    return events


@pytest.mark.parametrize(
    ("reader", "kinds"), [(openai_reader, CHUNK), (anthropic_reader, EVENT)], ids=["openai", "anthropic"]
)
def test_any_stream_is_readable_or_a_failure_of_ours(reader: Callable[[], Reader], kinds: Any) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(kinds, max_size=8), st.data())
    def play(events: list[Any], data: Any) -> None:
        check(*read(reader(), cut(data, events)))

    play()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=12), st.data())
def test_no_text_is_lost_wherever_it_is_cut(words: list[str], data: Any) -> None:
    """Halves of characters in two events included: the text is cut between its UTF-16 units."""
    units = "".join(words).encode("utf-16-le", "surrogatepass")
    places = sorted({2 * place for place in data.draw(st.lists(st.integers(0, len(units) // 2), max_size=8))})
    parts = [units[begin:end] for begin, end in zip([0, *places], [*places, len(units)], strict=True)]
    events: list[Any] = [
        {"choices": [{"delta": {"content": part.decode("utf-16-le", "surrogatepass")}}]} for part in parts
    ]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    pieces, trouble = read(openai_reader(), cut(data, events))
    found = "".join((piece.delta or {}).get("content", "") for piece in pieces)
    if trouble is None:
        assert found == "".join(words).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    else:
        assert not "".join(words)


@settings(max_examples=100, deadline=None)
@given(DELTA | JSON.filter(lambda value: isinstance(value, dict)), REASON)
def test_any_message_is_one_of_openais_or_a_failure_of_ours(message: Any, reason: Any) -> None:
    body = json.dumps({"choices": [{"message": message, "finish_reason": reason}]}).encode()
    try:
        reply = openai.reply(body, {}, CONNECTION, CALL)
    except RouterError:
        return
    whole = json.loads(json.dumps({**reply.message, "role": "assistant"}))
    ChatCompletionMessage.model_validate({name: value for name, value in whole.items() if name != "annotations"})
    assert reply.finish_reason in ("stop", "length", "tool_calls", "content_filter")
    assert (reply.finish_reason == "tool_calls") <= bool(whole.get("tool_calls"))
    assert reply_of(whole, reply.finish_reason, None, None).message == reply.message
