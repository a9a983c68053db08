"""Our answers in the shape that OpenAI's clients need: a role, a delta, a finish reason and `choices` everywhere."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from billing.money import dollars

from ..chat import Streamed
from ..journey import Served
from ..replies import to_json
from ..types import Piece

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


def completion(served: Served) -> dict[str, Any]:
    """A whole answer."""
    message = {"content": None, "refusal": None, **served.reply.message, "role": "assistant"}
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
                "finish_reason": served.reply.finish_reason,
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
    frame = {**frame_of(streamed), "usage": None} if with_usage else frame_of(streamed)
    writer = ChunkWriter(frame)
    for pieces in streamed:
        yield writer.write(pieces)
    if with_usage and streamed.served is not None:
        yield event({**frame, "choices": [], "usage": usage(streamed.served)})
    yield DONE


def frame_of(streamed: Streamed) -> dict[str, Any]:
    """What all chunks of one answer have in common."""
    return {
        "id": f"chatcmpl-{streamed.journey.ticket.request_id}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": streamed.way.route.serves,
    }


class ChunkWriter:
    def __init__(self, frame: dict[str, Any]) -> None:
        self._frame = frame
        self._begun = False
        self._places: dict[tuple[str, Any], int] = {}
        self._calls = 0

    def write(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(KEEP_ALIVE if piece.comment else event(self._chunk(piece)) for piece in pieces)

    def _chunk(self, piece: Piece) -> dict[str, Any]:
        delta = {name: value for name, value in (piece.delta or {}).items() if name != "role"}
        if not self._begun:
            # LangChain and LlamaIndex need to be told whose words these are.
            delta = {"role": "assistant", **delta}
            self._begun = True
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{**call, "index": self._place(call)} for call in calls]
        choice = {"index": 0, "delta": delta, "logprobs": piece.logprobs, "finish_reason": piece.finish_reason}
        return {**self._frame, "choices": [choice]}

    def _place(self, call: dict[str, Any]) -> int:
        """Its place among the calls, by which clients put the parts of one together. Gemini leaves it out, or gives the
        first to all: there a new id, or a name, is a new call."""
        identity, by_index = call.get("id"), ("index", call.get("index"))
        mark = ("id", identity) if identity else by_index
        named = bool((call.get("function") or {}).get("name"))
        if mark not in self._places or (named and not identity):
            self._places[mark] = self._calls
            self._calls += 1
        self._places[by_index] = self._places[mark]
        return self._places[mark]


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + to_json(body) + b"\n\n"
