"""A provider that costs next to nothing: prepared answers on bare asyncio protocols, whoever asks.

    python -m benchmarks.upstream PORT

`GET /set?delay=1&first=0.1&pace=0.02&chunks=50` sets how long a whole answer takes, when a stream's first chunk comes,
how far apart the others are (seconds), and how many there are. `GET /stats` tells how many calls there were.
It runs on the standard library alone, and on uvloop where that is installed.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qsl, urlsplit

from . import loops

USAGE = {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70, "cost": 0.00055}
ANSWER = {
    "id": "gen-1",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "openai/gpt-4o",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Bonjour, je suis là. " * 10},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def event(choices: list[object], **more: object) -> bytes:
    frame = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "openai/gpt-4o"}
    return chunk(b"data: " + json.dumps({**frame, "choices": choices, **more}).encode() + b"\n\n")


def delta(content: str | None, reason: str | None = None) -> dict[str, object]:
    said = {} if content is None else {"role": "assistant", "content": content}
    return {"index": 0, "delta": said, "finish_reason": reason}


PLAIN = whole(json.dumps(ANSWER).encode())
PIECE = event([delta("mot ")])
LAST = event([delta(None, "stop")]) + event([], usage=USAGE) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Behaviour:
    """How it answers; the same for everybody."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.first = 0.1
        self.pace = 0.02
        self.chunks = 50.0
        self.calls = 0

    def change(self, query: str) -> None:
        for name, value in parse_qsl(query):
            setattr(self, name, float(value))


class Line(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    transport: asyncio.Transport

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = content_length(head)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self.request(head, rest[:length])

    def request(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET "):
            self.control(head.split(b" ", 2)[1].decode())
            return
        self._behaviour.calls += 1
        asked_to_stream = b'"stream":true' in body or b'"stream": true' in body
        if asked_to_stream:
            self.transport.write(STREAM_HEAD)
            self._left = int(self._behaviour.chunks)
            self._timer = self._loop.call_later(self._behaviour.first, self.piece, self._loop.time())
        elif self._behaviour.delay:
            self._timer = self._loop.call_later(self._behaviour.delay, self.transport.write, PLAIN)
        else:
            self.transport.write(PLAIN)

    def piece(self, began: float) -> None:
        self._left -= 1
        if self._left <= 0:
            self.transport.write(PIECE + LAST)
            return
        self.transport.write(PIECE)
        sent = self._behaviour.chunks - self._left
        # By the clock, not by the last one: a late chunk does not make the next ones late.
        self._timer = self._loop.call_at(began + self._behaviour.first + sent * self._behaviour.pace, self.piece, began)

    def control(self, target: str) -> None:
        parts = urlsplit(target)
        if parts.path == "/set":
            self._behaviour.change(parts.query)
        self.transport.write(whole(json.dumps(vars(self._behaviour)).encode()))


def content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def serve(port: int) -> None:
    behaviour = Behaviour()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Line(behaviour), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    loops.run(serve(int(sys.argv[1])))
