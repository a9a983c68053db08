"""The dialect that nearly all providers speak: OpenAI's chat completions. Their differences are data (`registry`)."""

from collections.abc import Generator, Iterator, Mapping, Set
from typing import Any

import orjson

from ..errors import Empty, Overloaded, Unclear
from ..types import BESIDE_A_CALL, SIGN_OF_LIFE, THOUGHTS, Message, Piece, Reply, Upstream
from .base import after_words, read_stream, read_whole
from .error_shapes import error_in, status_inside, unwrapped
from .faults import fault
from .http import post, stream_post
from .lenient_json import is_flat, loads, without_halves
from .normaliser import StreamNormaliser, reply_of, whole_piece
from .registry import Connection, Key, Provider
from .sse import Event, EventReader, looks_like_events
from .usage_reader import billed, tokens

PATH = "/chat/completions"
DONE = b"[DONE]"
# Some keep a connection alive with events that are no JSON.
PINGS = frozenset({b"ping", b"pong", b"keepalive", b"keep-alive", b"heartbeat", b"processing", b"null"})
# An event that is one word, and no JSON of an answer, has fewer bytes.
LONGEST_WORD = 24
CACHE_MARK = frozenset({"cache_control"})


def complete(connection: Connection, key: Key, call: Upstream) -> Reply:
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(connection, call)
    answer = post(url, headers(connection, key), sent, call.patience(provider))
    if not answer.is_success:
        raise fault(provider, answer.status, answer.headers, answer.body, model=call.model)
    return reply(answer.body, answer.headers, connection, call)


def stream(connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
    """The pieces of an answer, those that came together together. Ends whole, or raises."""
    provider = connection.provider
    url, sent = connection.base_url + PATH, body(connection, call, stream=True)
    with stream_post(url, headers(connection, key), sent, call.patience(provider)) as answer:
        if not answer.is_success:
            raise fault(provider, answer.status, answer.headers, answer.body(), model=call.model)
        if answer.is_one_document():
            # Asked for a stream, it answered at once; or it has an error to tell.
            yield [whole_piece(reply(answer.body(), answer.headers, connection, call))]
            return
        yield from read_stream(answer, PieceReader(connection, call, answer.headers))


class PieceReader:
    """Bytes of a stream -> pieces."""

    def __init__(self, connection: Connection, call: Upstream, answer_headers: Mapping[str, str]) -> None:
        self.done = False
        self._events = EventReader()
        self._answer = StreamNormaliser()
        self._connection = connection
        self._call = call
        self._headers = answer_headers

    @property
    def spoke(self) -> bool:
        return self._answer.spoke

    @property
    def finished(self) -> bool:
        return self._answer.finished

    def read(self, chunk: bytes) -> Iterator[Piece]:
        for event in self._events.feed(chunk):
            if len(event.data) < LONGEST_WORD and event.data.strip(b' "').upper() == DONE:
                self.done = True
                yield self._answer.last()
                return
            yield self._piece(event)

    def end(self) -> Iterator[Piece]:
        """Some providers end without a [DONE]."""
        try:
            for event in self._events.end():
                yield self._piece(event)
        except Unclear:
            # Half of an event behind the reason to end: of a usage, say.
            if not self.finished:
                raise
        if not self._answer.ended:
            raise Unclear("cut")
        yield self._answer.last()

    def _piece(self, event: Event) -> Piece:
        """One event. It may hold a delta, an end, a usage, or several of them."""
        data = event.data
        if event.comment or (len(data) < LONGEST_WORD and data.strip(b'" :').lower() in PINGS):
            return SIGN_OF_LIFE
        chunk, halved = parsed_object(data, self._headers, self._connection, self._call, name=event.name)
        choice = _first(chunk.get("choices"))
        given = choice.get("delta")
        if type(given) is not dict or (not given and "message" in choice):
            given = self._delta_elsewhere(choice)
        delta = None if given is None else self._answer.delta(given, halved=halved)
        reason, logprobs, behind = choice.get("finish_reason"), choice.get("logprobs"), chunk.get("provider")
        ends = reason is not None and self._answer.finish(reason)
        if ends and delta is not None and not any(delta.values()):
            delta = None
        counted = cost = None
        if usage := usage_in(chunk, choice):
            counted = tokens(usage, self._call.max_tokens)
            cost = billed(usage) if self._connection.provider.tells_cost else None
            self._answer.usage(counted, cost, beside_words=delta is not None)
        return Piece(
            delta=delta,
            logprobs=None if logprobs is None else logprobs_in(logprobs),
            tokens=counted,
            cost=cost,
            behind=behind if type(behind) is str else "",
            ends=ends,
        )

    def _delta_elsewhere(self, choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Some stream an answer that was whole: a message, or the text of 2022. Beside deltas it only repeats them."""
        if isinstance(message := choice.get("message"), dict):
            return None if self.spoke else message
        text = choice.get("text") or choice.get("delta")
        return {"content": text} if isinstance(text, str) else None


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
    if sent["role"] == "assistant":
        sent = with_known_thoughts(provider, sent)
    content = sent.get("content")
    if provider.cache_marks or not isinstance(content, list):
        return sent
    if all(part["type"] == "text" for part in content):
        return {**sent, "content": "\n".join(part["text"] for part in content)}
    return {**sent, "content": [without(part, CACHE_MARK) for part in content]}


def with_known_thoughts(provider: Provider, message: Message) -> Message:
    """Some providers refuse what others need to go on: thoughts and signatures go to those that know them."""
    unknown = THOUGHTS.keys() - provider.thoughts
    sent = without(message, unknown) if unknown & message.keys() else message
    if "extra_content" in provider.thoughts or "tool_calls" not in sent:
        return sent
    return {**sent, "tool_calls": [without(call, BESIDE_A_CALL.keys()) for call in sent["tool_calls"]]}


def reply(text: bytes, answer_headers: Mapping[str, str], connection: Connection, call: Upstream) -> Reply:
    if looks_like_events(text):
        # Asked for a whole answer, it streamed one.
        return read_whole(text, PieceReader(connection, call, answer_headers))
    if (several := as_events(text)) is not None:
        return read_whole(several, PieceReader(connection, call, answer_headers))
    parsed, _ = parsed_object(text, answer_headers, connection, call)
    choice = _first(parsed.get("choices"))
    message, usage = message_in(choice), usage_in(parsed, choice)
    counted = tokens(usage, call.max_tokens)
    cost = billed(usage) if connection.provider.tells_cost else None
    if message is None:
        raise Unclear("unreadable") if counted is None and cost is None else Empty(counted, cost)
    return reply_of(
        message,
        choice.get("finish_reason"),
        counted,
        cost,
        logprobs=logprobs_in(choice.get("logprobs")),
    )


def parsed_object(
    text: bytes, answer_headers: Mapping[str, str], connection: Connection, call: Upstream, *, name: str | None = None
) -> tuple[dict[str, Any], bool]:
    """A body, or an event of this `name`, that is not an error; some send those with a 200, or in the middle of a
    stream. And whether its texts may hold halves of characters, which only those of an event may."""
    parsed, halved = loads(text)
    if halved and name is None:
        parsed, halved = without_halves(parsed), False
    if isinstance(parsed, list) and parsed:
        # Gemini's errors come as a list of one.
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        raise Unclear("unreadable")
    if not parsed.get("choices"):
        parsed = unwrapped(parsed)
    if error := error_in(parsed) or (parsed if name == "error" else _first(parsed.get("choices")).get("error")):
        trouble = fault(connection.provider, status_inside(error), answer_headers, text, model=call.model)
        raise after_words(trouble) if has_words(_first(parsed.get("choices"))) else trouble
    if (groq := parsed.get("x_groq")) and isinstance(groq, dict) and groq.get("error"):
        raise Overloaded("stopped_early")
    return parsed, halved


def has_words(choice: Mapping[str, Any]) -> bool:
    """Beside an error: a part of an answer that came before it."""
    said = choice.get("message") or choice.get("delta")
    return isinstance(said, dict) and any(value for name, value in said.items() if name != "role")


def usage_in(chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> Any:
    """Where an answer tells its usage: at the top, under Groq's own name, or in the choice (Moonshot)."""
    extra = chunk.get("x_groq")
    return chunk.get("usage") or (extra.get("usage") if isinstance(extra, dict) else None) or choice.get("usage")


def message_in(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The message of a whole answer; some give it as the delta of a stream, or as the text of 2022."""
    for name in ("message", "delta"):
        if isinstance(found := choice.get(name), dict):
            return found
    if isinstance(text := choice.get("text"), str):
        return {"content": text}
    # Gemini leaves it out where a filter ended the answer.
    return {} if choice.get("finish_reason") else None


def as_events(body: bytes) -> bytes | None:
    """A stream whose chunks stand one on each line, without the frame of events; None where a body is none."""
    if body.count(b"\n", 0, -1) == 0:
        return None
    lines = [line for part in body.split(b"\n") if (line := part.strip())]
    if len(lines) < 2 or not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return None
    return b"".join(b"data: " + line + b"\n\n" for line in lines)


def logprobs_in(given: Any) -> Any:
    return without_halves(given) if isinstance(given, dict) and is_flat(given) else None


def without(fields: Mapping[str, Any], names: Set[str]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if name not in names} if names else fields


def _first(choices: Any) -> dict[str, Any]:
    if isinstance(choices, dict):
        return choices
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
