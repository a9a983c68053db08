"""A provider's answer -> ours: the one place where whatever is said becomes OpenAI's types. The dialects feed it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import Empty, Overloaded, TryAnotherRoute
from ..spoken import spoken_bytes
from ..types import Piece, Reply, Tokens
from .finish_reasons import STOP, finish_reason, with_calls
from .lenient_json import DEEPEST, Halves, is_flat, without_halves
from .tool_calls import ToolCalls
from .usage_reader import believable, larger

TEXTS = frozenset({"content", "refusal", "reasoning", "reasoning_content"})
LISTS = ("annotations", "reasoning_details")
# An index beyond this is a mistake of the provider's.
MOST_ENTRIES = 1_000_000


def said_in(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a message, or a delta of one, says, but for its calls of tools. The role is known, and null says nothing."""
    said: dict[str, Any] = {}
    for name, value in message.items():
        if type(value) is str:
            if name in TEXTS:
                said[name] = value
        elif value is not None and (read := READERS.get(name)) is not None:
            said = read(name, value) | said if name == "content" else said | read(name, value)
    return said


def calls_in(message: Mapping[str, Any]) -> Any:
    """Its calls of tools; the one call of 2023's `function_call` among them."""
    if calls := message.get("tool_calls"):
        return calls
    old = message.get("function_call")
    return [{"index": 0, "function": old}] if isinstance(old, dict) else []


def reply_of(message: Mapping[str, Any], reason: Any, tokens: Tokens | None, cost: int | None, **more: Any) -> Reply:
    """A whole answer. Raises `Empty`, and `Overloaded` where the provider says that it failed."""
    said = said_in(message)
    if calls := ToolCalls().whole(calls_in(message)):
        said["tool_calls"] = calls
    spoken = spoken_bytes(said)
    try:
        ended = with_calls(finish_reason(reason), calls=bool(calls))
    except Overloaded as failure:
        raise failed(failure, tokens, cost) from failure
    if not spoken and ended == STOP:
        raise Empty(tokens, cost)
    return Reply(said, ended, believable(tokens, spoken), cost, **more)


def failed(failure: Overloaded, tokens: Tokens | None, cost: int | None) -> TryAnotherRoute:
    """An answer that its provider ended in a failure. Where a usage was told, it may be billed all the same."""
    return failure if tokens is None and not cost else Empty(tokens, cost, failure.code)


class StreamNormaliser:
    """The deltas of one streamed answer, as they come; its finish reason once, in the last piece."""

    def __init__(self) -> None:
        # Whether there was a word yet; and whether the provider said why the answer ends.
        self.spoke = False
        self.finished = False
        self._reason: str | None = None
        self._failure: Overloaded | None = None
        self._calls = ToolCalls()
        self._halves = Halves()
        # How many entries of each list the client has.
        self._entries: dict[str, int] = {}
        self._tokens: Tokens | None = None
        self._cost: int | None = None
        self._usage_was_last = False

    @property
    def ended(self) -> bool:
        """Whether the answer may end here: some providers close without a [DONE], and some give no reason, but one that
        told neither a reason nor what the whole came to was cut."""
        return self.finished or self._usage_was_last

    def delta(self, given: Mapping[str, Any], *, halved: bool = False) -> dict[str, Any]:
        """`halved`: its texts may hold halves of characters."""
        content = given.get("content")
        halved = halved or bool(self._halves)
        if type(content) is str and not halved and (len(given) == 1 or (len(given) == 2 and "role" in given)):
            # Nearly every delta.
            if content:
                self.spoke, self._usage_was_last = True, False
            return {"content": content}
        if len(given) == 1 and not halved and "tool_calls" in given:
            if not (calls := self._calls.add(given["tool_calls"])):
                return {}
            self.spoke, self._usage_was_last = True, False
            return {"tool_calls": calls}
        said = said_in(given)
        if halved:
            said = {name: self._whole_text(name, value) for name, value in said.items()}
        if calls := self._calls.add(calls_in(given)):
            said["tool_calls"] = [self._whole_call(call) for call in calls] if halved else calls
        for name in LISTS:
            if name in said:
                said[name] = [self._numbered(name, entry) for entry in said[name]]
        if spoken_bytes(said):
            self.spoke, self._usage_was_last = True, False
        return said

    def finish(self, given: Any) -> bool:
        """Whether that is a reason to end. The most telling one stays: some repeat theirs, or add a mere `stop`."""
        try:
            reason = finish_reason(given)
        except Overloaded as failure:
            # It is raised at the end: the usage may come behind it.
            self._failure, self.finished = failure, True
            return True
        if reason is None:
            return False
        if self._reason in (None, STOP):
            self._reason = reason
        self.finished = True
        return True

    def usage(self, tokens: Tokens | None, cost: int | None, *, beside_words: bool = False) -> None:
        """What the provider told so far. Call it after `delta`."""
        self._tokens, self._cost = larger(self._tokens, tokens), cost if cost is not None else self._cost
        self._usage_was_last = tokens is not None and self.spoke and not beside_words

    def last(self) -> Piece:
        """The end of the answer, with what waited for it. Raises `Empty`, and `Overloaded` as `reply_of` does."""
        if self._failure is not None:
            raise failed(self._failure, self._tokens, self._cost)
        delta: dict[str, Any] = {"content": rest} if (rest := self._halves.rest("content")) else {}
        if calls := self._calls.rest():
            delta["tool_calls"] = [self._whole_call(call) for call in calls] if self._halves else calls
        reason = with_calls(self._reason, calls=bool(self._calls))
        if not self.spoke and not delta and reason == STOP:
            raise Empty(self._tokens, self._cost)
        return Piece(delta=delta, finish_reason=reason)

    def _numbered(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """An entry with its index: OpenAI's clients raise for one without, where a list comes in several deltas."""
        given, count = entry.get("index"), self._entries.get(name, 0)
        index = given if type(given) is int and 0 <= given < MOST_ENTRIES else count
        self._entries[name] = max(count, index + 1)
        return entry if index is given else {**entry, "index": index}

    def _whole_text(self, name: str, value: Any) -> Any:
        return self._halves.join(name, value) if isinstance(value, str) else without_halves(value)

    def _whole_call(self, call: dict[str, Any]) -> dict[str, Any]:
        arguments = self._halves.join(("arguments", call["index"]), call["function"]["arguments"])
        whole: dict[str, Any] = without_halves(call)
        return {**whole, "function": {**whole["function"], "arguments": arguments}}


def whole_piece(whole: Reply) -> Piece:
    """The one piece of a stream that was answered whole."""
    delta = dict(whole.message)
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(calls)]
    return Piece(
        delta=delta, finish_reason=whole.finish_reason, logprobs=whole.logprobs, tokens=whole.tokens, cost=whole.cost
    )


def joined(pieces: Iterable[Piece]) -> Reply:
    """The whole answer that came in pieces."""
    message: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    reason, tokens, cost = STOP, None, None
    for piece in pieces:
        for name, value in (piece.delta or {}).items():
            if name == "tool_calls":
                _join_calls(calls, value)
            else:
                message[name] = message[name] + value if isinstance(value, (str, list)) and name in message else value
        reason, tokens = piece.finish_reason or reason, larger(tokens, piece.tokens)
        cost = piece.cost if piece.cost is not None else cost
    return reply_of({**message, "tool_calls": calls}, reason, tokens, cost)


def _join_calls(calls: list[dict[str, Any]], parts: Iterable[dict[str, Any]]) -> None:
    for part in parts:
        if part["index"] == len(calls):
            calls.append(part)
        else:
            calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]


# What is not text where text belongs


def _text(name: str, value: Any) -> dict[str, Any]:
    return {name: text} if (text := text_of(value)) else {}


def _content(name: str, value: Any) -> dict[str, Any]:
    """Mistral's thinking models answer in parts."""
    parts = value if isinstance(value, list) else [value]
    said: dict[str, Any] = {name: text_of(value)}
    if thoughts := "".join(text_of(part.get("thinking")) for part in parts if isinstance(part, dict)):
        said["reasoning_content"] = thoughts
    return said


def _objects(name: str, value: Any) -> dict[str, Any]:
    entries = value if isinstance(value, list) else [value]
    return (
        {name: found} if (found := [entry for entry in entries if isinstance(entry, dict) and is_flat(entry)]) else {}
    )


def _object(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if isinstance(value, dict) and is_flat(value) else {}


READERS: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "content": _content,
    "refusal": _text,
    "reasoning": _text,
    "reasoning_content": _text,
    "annotations": _objects,
    "reasoning_details": _objects,
    "extra_content": _object,
}


def text_of(value: Any, depth: int = DEEPEST) -> str:
    """The text in whatever a provider puts where text belongs: parts, an object with a text, a number."""
    if isinstance(value, list) and depth:
        return "".join(text_of(part, depth - 1) for part in value)
    if isinstance(value, dict) and depth:
        return text_of(value.get("text"), depth - 1)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value)
