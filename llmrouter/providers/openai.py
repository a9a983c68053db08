"""The dialect that nearly all providers speak: OpenAI's chat completions. Their differences are data (`registry`)."""

from collections.abc import Generator, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from billing.money import nano_nearest

from ..errors import Overloaded, Unclear
from ..types import Message, Piece, Reply, Tokens, Upstream
from .base import until_trouble
from .faults import fault
from .http import post, stream_post
from .registry import Connection, Key, Provider
from .sse import Event, EventReader

PATH = "/chat/completions"
DONE = b"[DONE]"
FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")
# What of a message, or of a delta of one, goes on to the caller.
MESSAGE = ("content", "refusal", "tool_calls", "reasoning", "reasoning_content", "annotations")
CACHE_MARK = frozenset({"cache_control"})
# Beyond these a count or a bill is a mistake of the provider's, and is not believed.
MOST_TOKENS = 100_000_000
DEAREST_CALL_USD = 1000


def complete(connection: Connection, key: Key, call: Upstream) -> Reply:
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(connection, call)
    answer = post(url, headers(connection, key), sent, call.patience(provider))
    if answer.status != 200:
        raise fault(provider, answer.status, answer.headers, answer.body, model=call.model)
    return reply(answer.body, answer.headers, connection, call)


def stream(connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
    """The pieces of an answer, those that came together together. Ends whole, or raises."""
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(connection, call, stream=True)
    with stream_post(url, headers(connection, key), sent, call.patience(provider)) as answer:
        if answer.status != 200:
            raise fault(provider, answer.status, answer.headers, answer.error_body(), model=call.model)
        if "event-stream" not in answer.headers.get("Content-Type", "event-stream"):
            # Asked for a stream, it answered at once; or it has an error to tell.
            yield [whole_piece(reply(answer.error_body(), answer.headers, connection, call))]
            return
        reader = PieceReader(connection, call, answer.headers)
        for chunk in answer.chunks():
            pieces, trouble = until_trouble(reader.read(chunk))
            if any(not p.comment for p in pieces):
                answer.data_came()
            if reader.done:
                answer.finish()
            if pieces:
                yield pieces
            if trouble is not None:
                raise trouble
            if reader.done:
                return
        yield list(reader.end())


class PieceReader:
    """Bytes of a stream -> pieces."""

    def __init__(self, connection: Connection, call: Upstream, answer_headers: Mapping[str, str]) -> None:
        self.done = False
        self._began = False
        self._ended = False
        self._events = EventReader()
        self._connection = connection
        self._call = call
        self._headers = answer_headers

    def read(self, chunk: bytes) -> Iterator[Piece]:
        yield from self._pieces(self._events.feed(chunk))
        if self.done and not self._began:
            # A [DONE] after nothing at all is no answer.
            raise Unclear("empty")

    def end(self) -> Iterator[Piece]:
        """Some providers end without a [DONE]; but one that said neither why it ended nor what it used was cut."""
        yield from self._pieces(self._events.end())
        if not self._ended:
            raise Unclear("cut")

    def _pieces(self, events: Iterator[Event]) -> Iterator[Piece]:
        for event in events:
            if event.data == DONE:
                self.done = True
                return
            found = piece(event, self._headers, self._connection, self._call)
            self._began = self._began or not found.comment
            # A usage beside a delta is not yet the end: some (Perplexity, xAI) tell what it came to with each piece.
            last_words = found.tokens is not None and found.delta is None
            self._ended = self._ended or found.finish_reason is not None or last_words
            yield found


def headers(connection: Connection, key: Key) -> dict[str, str]:
    sent = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "IAFactory/2"}
    if key.text:
        sent["Authorization"] = f"Bearer {key.text}"
    return sent | dict(connection.provider.headers)


def body(connection: Connection, call: Upstream, *, stream: bool = False) -> bytes:
    """Only what is on the allow-list of `Chat.parameters` goes upstream, less what this provider refuses."""
    provider = connection.provider
    sent: dict[str, Any] = {
        "model": call.model,
        "messages": [message_for(provider, message) for message in call.messages],
        provider.cap_field: call.max_tokens,
        **without(call.parameters, provider.drops_for(call.model)),
    }
    if provider.takes_max_price and call.max_price is not None:
        prompt, completion = call.max_price
        # No endpoint with a fee per request: there is none in the ceiling.
        sent["provider"] = {"max_price": {"prompt": prompt, "completion": completion, "request": 0}}
    if stream:
        sent["stream"] = True
        if provider.usage == "asked":
            sent["stream_options"] = {"include_usage": True}
    return orjson.dumps(sent)


def message_for(provider: Provider, message: Message) -> Message:
    """A message as this provider takes it: where a mark for the cache is an error, so may be a list of mere text."""
    sent = without(message, provider.message_drops)
    content = sent.get("content")
    if provider.cache_marks or not isinstance(content, list):
        return sent
    if all(part["type"] == "text" for part in content):
        return {**sent, "content": "\n".join(part["text"] for part in content)}
    return {**sent, "content": [without(part, CACHE_MARK) for part in content]}


def reply(text: bytes, answer_headers: Mapping[str, str], connection: Connection, call: Upstream) -> Reply:
    parsed = parsed_object(text, answer_headers, connection, call)
    choice = _first(parsed.get("choices"))
    if choice is None or not isinstance(choice.get("message"), dict):
        raise Unclear("unreadable")
    reason = finish_reason(choice.get("finish_reason"))
    return Reply(
        message=said_in(choice["message"]),
        finish_reason=reason or "stop",
        tokens=tokens(parsed.get("usage")),
        cost=billed(parsed.get("usage")) if connection.provider.tells_cost else None,
        logprobs=choice.get("logprobs"),
    )


def parsed_object(
    text: bytes, answer_headers: Mapping[str, str], connection: Connection, call: Upstream
) -> dict[str, Any]:
    """A body or an event that is not an error; some send those with a 200, or in the middle of a stream."""
    try:
        # DeepSeek keeps a connection alive with blank lines before the body.
        parsed = orjson.loads(text.strip())
    except orjson.JSONDecodeError as error:
        raise Unclear("unreadable") from error
    if not isinstance(parsed, dict):
        raise Unclear("unreadable")
    if parsed.get("error"):
        raise fault(connection.provider, status_inside(parsed["error"]), answer_headers, text, model=call.model)
    if (groq := parsed.get("x_groq")) and isinstance(groq, dict) and groq.get("error"):
        raise Overloaded("stopped_early")
    return parsed


def said_in(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a message, or a delta of one, says: in OpenAI's types, whatever a provider sends. The role is known."""
    said = {name: message[name] for name in MESSAGE if name in message}
    if isinstance(said.get("content"), list):
        # Mistral's thinking models answer in parts.
        parts = [part for part in said["content"] if isinstance(part, dict)]
        said["content"] = "".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))
        if thoughts := "".join(text_of(part.get("thinking")) for part in parts):
            said["reasoning_content"] = thoughts
    elif not isinstance(said.get("content", ""), str | None):
        del said["content"]
    if "tool_calls" in said:
        calls = said.pop("tool_calls")
        if found := [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []:
            said["tool_calls"] = found
    return said


def text_of(part: Any) -> str:
    if isinstance(part, list):
        return "".join(text_of(inner) for inner in part)
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""


def finish_reason(reason: Any) -> str | None:
    """One of OpenAI's, whatever a provider invents; an answer that ended in an error is none."""
    if reason is None:
        return None
    if reason == "error":
        raise Overloaded("finished_in_error")
    return reason if reason in FINISH_REASONS else "stop"


def piece(event: Event, answer_headers: Mapping[str, str], connection: Connection, call: Upstream) -> Piece:
    """One event. A chunk may hold a delta, an end, a usage, or several of them."""
    if event.comment:
        return Piece(comment=True)
    chunk = parsed_object(event.data, answer_headers, connection, call)
    if event.name == "error":
        raise fault(connection.provider, status_inside(chunk), answer_headers, event.data, model=call.model)
    choice = _first(chunk.get("choices")) or {}
    usage = usage_in(chunk, choice)
    delta, behind = choice.get("delta"), chunk.get("provider")
    return Piece(
        delta=said_in(delta) if isinstance(delta, dict) else None,
        finish_reason=finish_reason(choice.get("finish_reason")),
        logprobs=choice.get("logprobs"),
        tokens=tokens(usage),
        cost=billed(usage) if connection.provider.tells_cost else None,
        behind=behind if isinstance(behind, str) else "",
    )


def usage_in(chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> Any:
    """Where a stream tells its usage: at the top, under Groq's own name, or in the choice (Moonshot)."""
    extra = chunk.get("x_groq")
    return chunk.get("usage") or (extra.get("usage") if isinstance(extra, dict) else None) or choice.get("usage")


def whole_piece(whole: Reply) -> Piece:
    delta = {name: value for name, value in whole.message.items() if value is not None}
    return Piece(delta=delta, finish_reason=whole.finish_reason, tokens=whole.tokens, cost=whole.cost)


def without(fields: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if name not in names} if names else fields


def status_inside(error: Any) -> int:
    """The status in an error that came with a 200: OpenRouter puts it into `code`."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def tokens(usage: Any) -> Tokens | None:
    """What a provider counted; None where it did not, or where it cannot be believed."""
    if not isinstance(usage, dict):
        return None
    input_, output = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens", 0))
    if input_ is None or output is None:
        return None
    total = _count(usage.get("total_tokens")) or 0
    inputs, outputs = _details(usage, "prompt_tokens_details"), _details(usage, "completion_tokens_details")
    return Tokens(
        input=input_,
        # Reasoning tokens are part of the completion's, and counted once; but xAI and Gemini leave them out there, and
        # count them only in the total.
        output=max(output, total - input_),
        # DeepSeek and Moonshot have names of their own for it.
        cached=_first_count(
            inputs.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens")
        ),
        cache_written=_count(inputs.get("cache_write_tokens")) or 0,
        reasoning=_count(outputs.get("reasoning_tokens")) or 0,
    )


def billed(usage: Any) -> int | None:
    """The dollars that the provider says it charged, in nano-dollars; None where that cannot be believed."""
    if not isinstance(usage, dict):
        return None
    amounts = [_dollars(usage.get("cost"))]
    if usage.get("is_byok"):
        # A key of the operator's own at the provider behind OpenRouter: `cost` is OpenRouter's fee, the rest is billed
        # there.
        amounts.append(_dollars(_details(usage, "cost_details").get("upstream_inference_cost")))
    known = [amount for amount in amounts if amount is not None]
    return nano_nearest(sum(known, Decimal(0))) if len(known) == len(amounts) else None


def _dollars(amount: Any) -> Decimal | None:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, str)):
        return None
    try:
        found = Decimal(str(amount))
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found <= DEAREST_CALL_USD else None


def _first(choices: Any) -> dict[str, Any] | None:
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


def _count(value: Any) -> int | None:
    """A number of tokens, if it is one."""
    plausible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if plausible else None


def _first_count(*values: Any) -> int:
    return next((count for count in map(_count, values) if count), 0)


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = usage.get(name)
    return found if isinstance(found, dict) else {}
