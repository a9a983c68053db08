"""Anthropic's own dialect (`/v1/messages`), because its OpenAI layer knows neither cache prices nor thinking.

Chats come and go in the OpenAI dialect; this translates them, both ways.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import orjson

from ..errors import Unclear
from ..types import SIGN_OF_LIFE, Message, Piece, Reply, Tokens, Upstream
from .base import read_stream, read_whole
from .error_shapes import error_in
from .faults import fault
from .http import post, stream_post
from .lenient_json import loads, without_halves
from .normaliser import StreamNormaliser, reply_of, whole_piece
from .registry import Connection, Key, Provider
from .sse import EventReader, looks_like_events
from .usage_reader import count

PATH = "/messages"
# How OpenRouter names the signatures of Anthropic's thoughts, which its clients send back.
FORMAT = "anthropic-claude-v1"
# Anthropic's own status for an error in the middle of a stream: overloaded.
OVERLOADED = 529
# Tokens of thinking by OpenAI's reasoning effort.
THINKING = {"low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768}
LEAST_THINKING = 1024


def complete(connection: Connection, key: Key, call: Upstream) -> Reply:
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(call, stream=False)
    answer = post(url, headers(connection, key), sent, call.patience(provider))
    if not answer.is_success:
        raise fault(provider, answer.status, answer.headers, answer.body, model=call.model)
    return reply(answer.body, provider, call.model)


def stream(connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(call, stream=True)
    with stream_post(url, headers(connection, key), sent, call.patience(provider)) as answer:
        if not answer.is_success:
            raise fault(provider, answer.status, answer.headers, answer.body(), model=call.model)
        if answer.is_one_document():
            yield [whole_piece(reply(answer.body(), provider, call.model))]
            return
        yield from read_stream(answer, Translator(provider, call.model))


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
    in the middle of tools, unless the thoughts before their calls came back with their signatures.
    """
    budget = min(THINKING.get(call.parameters.get("reasoning_effort", ""), 0), call.max_tokens // 2)
    last = next((message for message in reversed(call.messages) if message["role"] == "assistant"), {})
    under_way = bool(last.get("tool_calls")) and not thoughts_of(last)
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
    return [*thoughts_of(message), *blocks_of(message.get("content")), *calls]


def thoughts_of(message: Message) -> list[dict[str, Any]]:
    """Its own thoughts, as blocks. A client that added up a stream has the parts of each; they belong together by their
    index. Thoughts of other providers, or without a signature, are refused there: they are left out."""
    found: dict[Any, dict[str, Any]] = {}
    for place, detail in enumerate(message.get("reasoning_details") or ()):
        if detail.get("format") == FORMAT:
            index = detail.get("index")
            add_part(found.setdefault(place if not isinstance(index, int) else ("index", index), {}), detail)
    return [block for block in found.values() if block.get("signature") or block.get("data")]


def add_part(block: dict[str, Any], detail: Mapping[str, Any]) -> None:
    if detail.get("type") == "reasoning.encrypted" and isinstance(data := detail.get("data"), str):
        block |= {"type": "redacted_thinking", "data": data}
    elif detail.get("type") == "reasoning.text":
        text, signature = detail.get("text"), detail.get("signature")
        block["type"] = "thinking"
        block["thinking"] = block.get("thinking", "") + (text if isinstance(text, str) else "")
        if isinstance(signature, str):
            block["signature"] = signature


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


def reply(text: bytes, provider: Provider, model: str) -> Reply:
    if looks_like_events(text):
        # Asked for a whole answer, it streamed one.
        return read_whole(text, Translator(provider, model))
    parsed, _ = loads(text)
    whole = event_in(without_halves(parsed), text, provider, model)
    blocks = whole.get("content")
    if not isinstance(blocks, list):
        raise Unclear("unreadable")
    message = message_of([block for block in blocks if isinstance(block, dict)])
    return reply_of(message, whole.get("stop_reason"), tokens_of(whole.get("usage")), None)


def event_in(parsed: Any, text: bytes, provider: Provider, model: str) -> Mapping[str, Any]:
    """A body or an event that is not an error."""
    if not isinstance(parsed, dict):
        raise Unclear("unreadable")
    if error_in(parsed):
        raise fault(provider, OVERLOADED, {}, text, model=model)
    return parsed


def message_of(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One message in OpenAI's dialect; the normaliser sees to the types in it."""
    thinking = [text for block in blocks if isinstance(text := block.get("thinking"), str)]
    details = [detail for place, block in enumerate(blocks) if (detail := detail_of(block, place)) is not None]
    texts = [block for block in blocks if block.get("type") == "text"]
    return {
        **({"content": texts} if texts else {}),
        "tool_calls": [call_of(block) for block in blocks if block.get("type") == "tool_use"],
        **({"reasoning_content": "".join(thinking)} if thinking else {}),
        **({"reasoning_details": details} if details else {}),
    }


def call_of(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": block.get("id"), "name": block.get("name"), "arguments": block.get("input")}


def detail_of(block: Mapping[str, Any], place: Any) -> dict[str, Any] | None:
    """A thought with its signature, without which Anthropic does not take it back."""
    match block.get("type"):
        case "thinking":
            named = {name: value for name in ("signature",) if (value := block.get(name))}
            return {"type": "reasoning.text", "text": block.get("thinking"), **named, "format": FORMAT, "index": place}
        case "redacted_thinking":
            return {"type": "reasoning.encrypted", "data": block.get("data"), "format": FORMAT, "index": place}
    return None


def tokens_of(usage: Any) -> Tokens | None:
    """Anthropic counts the cache's tokens beside the input's; here they are part of it."""
    if not isinstance(usage, dict):
        return None
    input_, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if input_ is None or output is None:
        return None
    cached = count(usage.get("cache_read_input_tokens")) or 0
    written = count(usage.get("cache_creation_input_tokens")) or 0
    return Tokens(input=input_ + cached + written, output=output, cached=cached, cache_written=written)


class Translator:
    """The events of one stream -> pieces in the OpenAI dialect."""

    def __init__(self, provider: Provider, model: str) -> None:
        self.done = False
        self._events = EventReader()
        self._answer = StreamNormaliser()
        self._provider = provider
        self._model = model
        self._usage: dict[str, Any] = {}

    @property
    def spoke(self) -> bool:
        return self._answer.spoke

    @property
    def finished(self) -> bool:
        return self._answer.finished

    def read(self, chunk: bytes) -> Iterator[Piece]:
        for event in self._events.feed(chunk):
            yield from [SIGN_OF_LIFE] if event.comment else self._pieces(event.data)
            if self.done:
                yield self._answer.last()
                return

    def end(self) -> Iterator[Piece]:
        try:
            for event in self._events.end():
                yield from self._pieces(event.data)
        except Unclear:
            # Half of an event behind the reason to end.
            if not self.finished:
                raise
        if not self.finished:
            raise Unclear("cut")
        yield self._answer.last()

    def _pieces(self, data: bytes) -> Iterator[Piece]:
        parsed, halved = loads(data)
        event = event_in(parsed, data, self._provider, self._model)
        match event.get("type"):
            case "message_start":
                self._count(object_in(object_in(event, "message"), "usage"))
            case "content_block_start" | "content_block_delta":
                if delta := delta_of(event):
                    yield Piece(delta=self._answer.delta(delta, halved=halved))
            case "message_delta":
                yield self._ending(event)
            case "message_stop":
                self.done = True
            case "ping":
                yield SIGN_OF_LIFE

    def _ending(self, event: Mapping[str, Any]) -> Piece:
        told = object_in(event, "usage")
        self._count(told)
        # What the stream began with is not yet the bill.
        counted = tokens_of(self._usage) if count(told.get("output_tokens")) else None
        self._answer.usage(counted, None)
        ends = self._answer.finish(object_in(event, "delta").get("stop_reason"))
        return Piece(tokens=counted, ends=ends)

    def _count(self, usage: Mapping[str, Any]) -> None:
        """The counts are of the whole answer so far, and a later event leaves out, or sets to zero, what it does not
        know."""
        for name, value in usage.items():
            if (counted := count(value)) is not None:
                self._usage[name] = max(counted, self._usage.get(name, 0))


def delta_of(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a block, or the next part of it, says. Blocks are numbered, calls of tools by their block's number."""
    index = event.get("index")
    if event.get("type") == "content_block_start":
        block = object_in(event, "content_block")
        if block.get("type") == "tool_use":
            # The input follows in parts; `{}` stands there for it.
            return {"tool_calls": [{"index": index, **call_of(block), "arguments": block.get("input") or None}]}
        detail = detail_of(block, index) if block.get("type") == "redacted_thinking" else None
        if detail is not None:
            return {"reasoning_details": [detail]}
        return {"content": text} if (text := block.get("text")) else None
    delta = object_in(event, "delta")
    match delta.get("type"):
        case "text_delta":
            return {"content": delta.get("text")}
        case "thinking_delta":
            detail = detail_of({"type": "thinking", "thinking": delta.get("thinking")}, index)
            return {"reasoning_content": delta.get("thinking"), "reasoning_details": [detail]}
        case "signature_delta":
            detail = detail_of({"type": "thinking", "thinking": "", "signature": delta.get("signature")}, index)
            return {"reasoning_details": [detail]}
        case "input_json_delta":
            return {"tool_calls": [{"index": index, "arguments": delta.get("partial_json")}]}
    return None


def object_in(parsed: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parsed.get(name)
    return found if isinstance(found, dict) else {}
