"""The dialect that nearly all providers speak: OpenAI's chat completions. Their differences are data (`registry`)."""

from collections.abc import Generator, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from billing.money import nano_nearest

from ..errors import Unclear
from ..types import Message, Piece, Reply, Tokens, Upstream
from .faults import fault
from .http import post, stream_post
from .registry import Connection, Key
from .sse import Event, EventReader

PATH = "/chat/completions"
DONE = b"[DONE]"


def complete(connection: Connection, key: Key, call: Upstream) -> Reply:
    answer = post(connection.base_url + PATH, headers(connection, key), body(connection, call), call.seconds)
    if answer.status != 200:
        raise fault(answer.status, answer.headers, answer.body, model=call.model)
    return reply(answer.body, answer.headers, connection, call)


def stream(connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
    """The pieces of an answer, those that came together together. Ends whole, or raises."""
    with stream_post(
        connection.base_url + PATH, headers(connection, key), body(connection, call, stream=True), call.seconds
    ) as answer:
        if answer.status != 200:
            raise fault(answer.status, answer.headers, answer.error_body(), model=call.model)
        if "event-stream" not in answer.headers.get("Content-Type", "event-stream"):
            # Asked for a stream, it answered at once; or it has an error to tell.
            yield [whole_piece(reply(answer.error_body(), answer.headers, connection, call))]
            return
        reader = PieceReader(connection, call, answer.headers)
        for chunk in answer.chunks():
            pieces = list(reader.read(chunk))
            if any(not p.comment for p in pieces):
                answer.data_came()
            if reader.done:
                answer.finish()
            if pieces:
                yield pieces
            if reader.done:
                return
        yield list(reader.end())


class PieceReader:
    """Bytes of a stream -> pieces."""

    def __init__(self, connection: Connection, call: Upstream, answer_headers: Mapping[str, str]) -> None:
        self.done = False
        self._ended = False
        self._events = EventReader()
        self._connection = connection
        self._call = call
        self._headers = answer_headers

    def read(self, chunk: bytes) -> Iterator[Piece]:
        return self._pieces(self._events.feed(chunk))

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
            self._ended = self._ended or found.finish_reason is not None or found.tokens is not None
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
        "messages": [without(message, provider.message_drops) for message in call.messages],
        provider.cap_field: call.max_tokens,
        **{name: value for name, value in call.parameters.items() if name not in provider.drops},
    }
    if provider.takes_max_price and call.max_price is not None:
        prompt, completion = call.max_price
        sent["provider"] = {"max_price": {"prompt": prompt, "completion": completion}}
    if stream:
        sent["stream"] = True
        if provider.usage == "asked":
            sent["stream_options"] = {"include_usage": True}
    return orjson.dumps(sent)


def reply(text: bytes, answer_headers: Mapping[str, str], connection: Connection, call: Upstream) -> Reply:
    try:
        # DeepSeek keeps a connection alive with blank lines before the body.
        parsed = orjson.loads(text.strip())
    except orjson.JSONDecodeError as error:
        raise Unclear("unreadable") from error
    if not isinstance(parsed, dict):
        raise Unclear("unreadable")
    if parsed.get("error"):
        raise fault(status_inside(parsed["error"]), answer_headers, text, model=call.model)
    choice = _first(parsed.get("choices"))
    if choice is None or not isinstance(choice.get("message"), dict):
        raise Unclear("unreadable")
    return Reply(
        message=choice["message"],
        finish_reason=str(choice.get("finish_reason") or "stop"),
        tokens=tokens(parsed.get("usage")),
        cost=billed(parsed.get("usage")) if connection.provider.tells_cost else None,
        logprobs=choice.get("logprobs"),
    )


def piece(event: Event, answer_headers: Mapping[str, str], connection: Connection, call: Upstream) -> Piece:
    """One event. A chunk may hold a delta, an end, a usage, or several of them."""
    if event.comment:
        return Piece(comment=True)
    try:
        chunk = orjson.loads(event.data)
    except orjson.JSONDecodeError as error:
        raise Unclear("unreadable") from error
    if not isinstance(chunk, dict):
        raise Unclear("unreadable")
    if chunk.get("error"):
        raise fault(status_inside(chunk["error"]), answer_headers, event.data, model=call.model)
    choice = _first(chunk.get("choices")) or {}
    usage = usage_in(chunk, choice)
    delta = choice.get("delta")
    return Piece(
        delta=delta if isinstance(delta, dict) else None,
        finish_reason=choice.get("finish_reason"),
        logprobs=choice.get("logprobs"),
        tokens=tokens(usage),
        cost=billed(usage) if connection.provider.tells_cost else None,
    )


def usage_in(chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> Any:
    """Where a stream tells its usage: at the top, under Groq's own name, or in the choice (Moonshot)."""
    extra = chunk.get("x_groq")
    return chunk.get("usage") or (extra.get("usage") if isinstance(extra, dict) else None) or choice.get("usage")


def whole_piece(whole: Reply) -> Piece:
    delta = {name: value for name, value in whole.message.items() if value is not None}
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(delta["tool_calls"])]
    return Piece(delta=delta, finish_reason=whole.finish_reason, tokens=whole.tokens, cost=whole.cost)


def without(message: Message, names: frozenset[str]) -> Message:
    return {name: value for name, value in message.items() if name not in names} if names else message


def status_inside(error: Any) -> int:
    """The status in an error that came with a 200: OpenRouter puts it into `code`."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def tokens(usage: Any) -> Tokens | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Tokens(
        input=usage["prompt_tokens"],
        # Reasoning tokens are part of the completion's; counting them again would bill them twice.
        output=_count(usage.get("completion_tokens")),
        cached=_count(details.get("cached_tokens")) or _count(usage.get("prompt_cache_hit_tokens")),
        cache_written=_count(details.get("cache_write_tokens")),
        reasoning=_count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")),
    )


def billed(usage: Any) -> int | None:
    """The dollars that the provider says it charged, in nano-dollars."""
    cost = usage.get("cost") if isinstance(usage, dict) else None
    if isinstance(cost, bool) or not isinstance(cost, (int, float, str)):
        return None
    try:
        amount = Decimal(str(cost))
    except InvalidOperation:
        return None
    return nano_nearest(amount) if amount.is_finite() and amount >= 0 else None


def _first(choices: Any) -> dict[str, Any] | None:
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
