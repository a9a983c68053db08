"""Answers of providers, event by event: for the stand-in's `faults`."""

import json
import time
from typing import Any

from tests.standins.provider import Call, Handler, Misbehaviour, error

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "cost": 0.000225}


def streams(
    *chunks: Any,
    last: str = "[DONE]",
    pace: float = 0,
    content_type: str = "text/event-stream",
    at_once: bool = False,
    status: int = 200,
) -> Misbehaviour:
    """These chunks and no others, `pace` seconds apart, or in one packet; bytes go out as they are."""
    events = [
        event if isinstance(event, bytes) else b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"
        for event in chunks
    ]
    if last:
        events.append(f"data: {last}\n\n".encode())
    packets = [b"".join(events)] if at_once else events

    def misbehave(handler: Handler, call: Call) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for packet in packets:
            time.sleep(pace)
            handler.chunk(packet)
        handler.chunk(b"")

    return misbehave


def chunk(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def counted(input_: Any, output: Any, **more: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": input_, "completion_tokens": output, **more}}


def last_chunk(**usage: Any) -> dict[str, Any]:
    """A chunk that tells nothing but the usage."""
    return {"choices": [], "usage": usage or USAGE}


def whole(message: Any, finish: Any = "stop", usage: Any = USAGE, status: int = 200) -> Misbehaviour:
    """One whole answer; a text is its content."""
    said = {"role": "assistant", "content": message} if isinstance(message, str) else message
    return error(status, {"choices": [{"index": 0, "message": said, "finish_reason": finish}], "usage": usage})


def tool(index: int | None = 0, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """An entry of `tool_calls`; a `name` goes where OpenAI has it."""
    function = {"name": fields.pop("name")} if "name" in fields else {}
    if arguments is not None:
        function["arguments"] = arguments
    return {**({} if index is None else {"index": index}), **fields, "function": function}


def added_up(events: list[Any]) -> dict[str, Any]:
    """What OpenAI's clients make of a stream: by index, each text behind the one before. A name or an id that comes
    twice is there twice."""
    found: dict[str, Any] = {"content": "", "calls": {}, "reasons": [], "error": None}
    for event in events:
        if event == "[DONE]":
            continue
        found["error"] = event.get("error") or found["error"]
        for choice in event.get("choices", ()):
            delta = choice["delta"]
            found["content"] += delta.get("content") or ""
            found["reasons"] += [choice["finish_reason"]] if choice["finish_reason"] else []
            for part in delta.get("tool_calls") or ():
                call = found["calls"].setdefault(part["index"], {"id": "", "name": "", "arguments": ""})
                call["id"] += part.get("id") or ""
                call["name"] += part["function"].get("name") or ""
                call["arguments"] += part["function"].get("arguments") or ""
    return found
