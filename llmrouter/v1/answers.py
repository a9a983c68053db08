"""Our answers in the shape that OpenAI's clients need: a role, a delta, a finish reason and `choices` everywhere."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from billing.money import dollars

from ..chat import Streamed
from ..journey import Served, Way
from ..replies import to_json
from ..types import Piece
from .wanted import as_asked, reason_as_asked

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
# These end no line of an event stream, but `splitlines` of Python, and so `iter_lines` of requests and httpx, takes
# them for ends of lines: half of an event is no JSON. In JSON they stand in strings only, where escapes say the same.
LINE_ENDS = tuple((end.encode(), b"\\u%04x" % ord(end)) for end in "\x85\u2028\u2029")


def completion(served: Served) -> dict[str, Any]:
    """A whole answer."""
    message = {"content": None, "refusal": None, **as_asked(served.chat, served.reply.message), "role": "assistant"}
    return {
        "id": f"chatcmpl-{served.ticket.request_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": served.way.route.serves,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": served.reply.logprobs,
                "finish_reason": reason_as_asked(served.chat, served.reply.finish_reason),
            }
        ],
        "usage": usage(served),
    }


def usage(served: Served) -> dict[str, Any]:
    used, tokens = served.usage, served.reply.tokens
    return {
        "prompt_tokens": used.tokens_input,
        "completion_tokens": used.tokens_output,
        "total_tokens": used.tokens_input + used.tokens_output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached if tokens else 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning if tokens else 0},
        # An extra, as OpenRouter has it: what this call cost, in dollars.
        "cost": dollars(used.cost),
    }


def chunks(streamed: Streamed, *, with_usage: bool) -> Iterator[bytes]:
    """Server-sent events; what came together goes out together. The last word, `[DONE]`, comes after the settling."""
    writer = ChunkWriter(streamed, {"usage": None} if with_usage else {})
    for pieces in streamed:
        yield writer.write(pieces)
    if with_usage and streamed.served is not None:
        yield event({**writer.frame, "choices": [], "usage": usage(streamed.served)})
    yield DONE


class ChunkWriter:
    """Pieces -> events. `more` is part of every chunk."""

    def __init__(self, streamed: Streamed, more: dict[str, Any] | None = None) -> None:
        # What all chunks of one answer have in common; known when the first word comes.
        self.frame: dict[str, Any] = {}
        self._streamed = streamed
        self._more = more or {}
        self._waited = streamed.is_waiting
        self._chat = streamed.journey.chat
        # Asked once, not of each chunk.
        self._adapts = self._chat.calls_functions or self._chat.hides_thoughts

    def write(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(KEEP_ALIVE if piece.comment else event(self._chunk(piece)) for piece in pieces)

    def _chunk(self, piece: Piece) -> dict[str, Any]:
        delta, reason = piece.delta or {}, piece.finish_reason
        if self._adapts:
            delta, reason = as_asked(self._chat, delta), reason_as_asked(self._chat, reason)
        first = not self.frame
        if first:
            self.frame = self._begin()
            # LangChain and LlamaIndex need to be told whose words these are.
            delta = {"role": "assistant", **delta}
        choice = {"index": 0, "delta": delta, "logprobs": piece.logprobs, "finish_reason": reason}
        chunk = {**self.frame, "choices": [choice]}
        return {**chunk, "iaf": told(self._streamed.way)} if first and self._waited else chunk

    def _begin(self) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._streamed.journey.ticket.request_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self._streamed.way.route.serves,
            **self._more,
        }


def told(way: Way) -> dict[str, Any]:
    """Who answers, and whether it is what was asked for."""
    return {
        "provider": way.route.provider,
        "model": way.route.serves,
        "fallback": way.fallback_level > 0,
        "fallback_level": way.fallback_level,
        "substitution": way.substitution,
    }


def event(body: dict[str, Any]) -> bytes:
    data = to_json(body)
    if not data.isascii():
        for raw, escaped in LINE_ENDS:
            data = data.replace(raw, escaped)
    return b"data: " + data + b"\n\n"
