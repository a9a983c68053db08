"""Anthropic's own dialect (`/v1/messages`), because its OpenAI layer knows neither cache prices nor thinking.

Chats come and go in the OpenAI dialect; this translates them, both ways.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import orjson

from ..errors import Unclear
from ..types import Message, Piece, Reply, Tokens, Upstream
from .base import until_trouble
from .faults import fault
from .http import post, stream_post
from .registry import Connection, Key, Provider
from .sse import EventReader

PATH = "/messages"
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# Tokens of thinking by OpenAI's reasoning effort.
THINKING = {"low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768}
LEAST_THINKING = 1024


def complete(connection: Connection, key: Key, call: Upstream) -> Reply:
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(call, stream=False)
    answer = post(url, headers(connection, key), sent, call.patience(provider))
    if answer.status != 200:
        raise fault(provider, answer.status, answer.headers, answer.body, model=call.model)
    try:
        parsed = orjson.loads(answer.body)
        return Reply(
            message=message_of(parsed["content"]),
            finish_reason=FINISH.get(parsed.get("stop_reason") or "", "stop"),
            tokens=tokens_of(parsed["usage"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise Unclear("unreadable") from error


def stream(connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(call, stream=True)
    with stream_post(url, headers(connection, key), sent, call.patience(provider)) as answer:
        if answer.status != 200:
            raise fault(provider, answer.status, answer.headers, answer.error_body(), model=call.model)
        events, translator = EventReader(), Translator(provider, call.model)
        for chunk in answer.chunks():
            came = events.feed(chunk)
            pieces, trouble = until_trouble(piece for event in came for piece in translator.read(event.data))
            if any(not piece.comment for piece in pieces):
                answer.data_came()
            if translator.over:
                answer.finish()
            if pieces:
                yield pieces
            if trouble is not None:
                raise trouble
            if translator.over:
                return
        raise Unclear("cut")


def headers(connection: Connection, key: Key) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "IAFactory/2",
        "x-api-key": key.text,
        **connection.provider.headers,
    }


# There


def body(call: Upstream, *, stream: bool) -> bytes:
    given = call.parameters
    sent: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "messages": turns(call.messages),
        "stream": stream,
    }
    if system := system_of(call.messages, given.get("response_format")):
        sent["system"] = system
    if "temperature" in given:
        sent["temperature"] = min(1, given["temperature"])
    elif "top_p" in given:
        # Not both: the newer models refuse that.
        sent["top_p"] = given["top_p"]
    if stop := given.get("stop"):
        sent["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if tools := given.get("tools"):
        sent["tools"] = [tool_of(tool["function"]) for tool in tools]
        sent["tool_choice"] = choice_of(given.get("tool_choice", "auto"), given.get("parallel_tool_calls", True))
    if user := given.get("user"):
        sent["metadata"] = {"user_id": user}
    if budget := thinking_of(call, forced=sent.get("tool_choice", {}).get("type") in ("any", "tool")):
        # With thinking on, Anthropic takes no other temperature than its own.
        sent["thinking"] = {"type": "enabled", "budget_tokens": budget}
        sent.pop("temperature", None)
        sent.pop("top_p", None)
    return orjson.dumps(sent)


def thinking_of(call: Upstream, *, forced: bool) -> int:
    """Tokens to think with, at most half of the answer's; 0 where Anthropic would refuse it: before a forced tool, and
    in the middle of tools whose calls had a thought before them, since those (signed) do not travel with our clients.
    """
    budget = min(THINKING.get(call.parameters.get("reasoning_effort", ""), 0), call.max_tokens // 2)
    last = next((message for message in reversed(call.messages) if message["role"] == "assistant"), {})
    under_way = bool(last.get("tool_calls"))
    return 0 if forced or under_way or budget < LEAST_THINKING else budget


def system_of(messages: Sequence[Message], response_format: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    blocks = [block for message in messages if message["role"] == "system" for block in blocks_of(message["content"])]
    if response_format and response_format.get("type") == "json_schema":
        schema = orjson.dumps(response_format["json_schema"].get("schema", {})).decode()
        blocks.append({"type": "text", "text": f"Answer with JSON only, valid under this JSON schema: {schema}"})
    elif response_format and response_format.get("type") == "json_object":
        blocks.append({"type": "text", "text": "Answer with one JSON object only."})
    return blocks


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """User and assistant by turns: neighbours of one role become one, and tools answer as the user."""
    found: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "system":
            continue
        role = "assistant" if message["role"] == "assistant" else "user"
        content = content_of(message)
        if not content:
            # It said nothing, which Anthropic refuses to hear.
            continue
        if found and found[-1]["role"] == role:
            found[-1]["content"].extend(content)
        else:
            found.append({"role": role, "content": content})
    return found


def content_of(message: Message) -> list[dict[str, Any]]:
    if message["role"] == "tool":
        answer = blocks_of(message["content"])
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": answer}]
    calls = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": arguments_of(call["function"].get("arguments")),
        }
        for call in message.get("tool_calls") or ()
    ]
    return blocks_of(message.get("content")) + calls


def arguments_of(text: str | None) -> dict[str, Any]:
    """What another model wrote may be no JSON, or half of it: it is then quoted, for Anthropic takes objects only."""
    try:
        arguments = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        arguments = text
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """Without texts of mere blanks, which Anthropic refuses."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    return [block_of(part) for part in parts if part["type"] != "text" or part["text"].strip()]


def block_of(part: Mapping[str, Any]) -> dict[str, Any]:
    cached = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
    if part["type"] == "text":
        return {"type": "text", "text": part["text"], **cached}
    url: str = part["image_url"]["url"]
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}, **cached}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}, **cached}


def tool_of(function: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": function["name"],
        "description": function.get("description") or "",
        "input_schema": {"type": "object", **(function.get("parameters") or {})},
    }


def choice_of(choice: Any, parallel: bool) -> dict[str, Any]:
    if isinstance(choice, dict):
        found: dict[str, Any] = {"type": "tool", "name": choice["function"]["name"]}
    else:
        found = {"type": {"auto": "auto", "none": "none", "required": "any"}.get(choice, "auto")}
    return found if parallel or found["type"] == "none" else {**found, "disable_parallel_tool_use": True}


# And back


def message_of(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    thinking = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    if thinking:
        message["reasoning_content"] = thinking
    return message


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """Anthropic counts the cache's tokens beside the input's; here they are part of it."""
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return Tokens(
        input=(usage.get("input_tokens") or 0) + cached + written,
        output=usage.get("output_tokens") or 0,
        cached=cached,
        cache_written=written,
    )


class Translator:
    """The events of one stream -> pieces in the OpenAI dialect."""

    def __init__(self, provider: Provider, model: str) -> None:
        self.over = False
        self._provider = provider
        self._model = model
        self._usage: dict[str, Any] = {}
        # Blocks are numbered over text and tools together; OpenAI numbers the tool calls by themselves.
        self._tools: dict[int, int] = {}

    def read(self, data: bytes) -> Iterator[Piece]:
        if not data:
            yield Piece(comment=True)
            return
        try:
            event = orjson.loads(data)
            yield from self._translate(event)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise Unclear("unreadable") from error

    def _translate(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        match event["type"]:
            case "message_start":
                self._usage = dict(event["message"]["usage"])
                yield Piece(delta={"role": "assistant", "content": ""})
            case "content_block_start" if event["content_block"]["type"] == "tool_use":
                yield self._tool_begins(event["index"], event["content_block"])
            case "content_block_delta":
                if (delta := self._delta(event["index"], event["delta"])) is not None:
                    yield Piece(delta=delta)
            case "message_delta":
                self._usage |= {name: count for name, count in event.get("usage", {}).items() if count is not None}
                reason = FINISH.get(event["delta"].get("stop_reason") or "", "stop")
                yield Piece(delta={}, finish_reason=reason, tokens=tokens_of(self._usage))
            case "message_stop":
                self.over = True
            case "ping":
                yield Piece(comment=True)
            case "error":
                raise fault(self._provider, 529, {}, orjson.dumps(event), model=self._model)

    def _tool_begins(self, index: int, block: Mapping[str, Any]) -> Piece:
        self._tools[index] = len(self._tools)
        function = {"name": block["name"], "arguments": ""}
        call = {"index": self._tools[index], "id": block["id"], "type": "function", "function": function}
        return Piece(delta={"tool_calls": [call]})

    def _delta(self, index: int, delta: Mapping[str, Any]) -> dict[str, Any] | None:
        match delta["type"]:
            case "text_delta":
                return {"content": delta["text"]}
            case "thinking_delta":
                return {"reasoning_content": delta["thinking"]}
            case "input_json_delta":
                return {"tool_calls": [{"index": self._tools[index], "function": {"arguments": delta["partial_json"]}}]}
        return None
