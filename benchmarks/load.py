"""The callers: so many at once on connections of their own, for so long; what they saw, as JSON.

    python -m benchmarks.load '{"url": …, "headers": {…}, "body": {…}, "callers": 64, "seconds": 5}'

With `seconds` each caller asks again as soon as it is answered; with `seconds` 0 each asks once, all at one instant.
With `rate` the calls begin at that many a second whatever becomes of the earlier ones. `warm_up` seconds do not count.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, cast
from urllib.parse import urlsplit

from . import loops

LAST_CHUNK = b"0\r\n\r\n"


@dataclass
class Wanted:
    """What is asked for. `tokens` are bearer tokens, one caller after the other gets the next one."""

    url: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    callers: int = 1
    seconds: float = 0
    warm_up: float = 0
    # With `seconds` 0: they begin within so many seconds.
    spread: float = 0
    rate: float = 0
    # A stream is whole with so many pieces of content and its [DONE]; 0: it is no stream.
    pieces: int = 0
    patience: float = 60

    def request(self, token: str) -> bytes:
        parts = urlsplit(self.url)
        body = json.dumps(self.body).encode()
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **self.headers,
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@dataclass
class Seen:
    """What came back, times in seconds. `began` is when each of the answers was asked for."""

    began: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """One connection. `ask` is one call on it."""

    transport: asyncio.Transport

    def __init__(self, wanted: Wanted, request: bytes, seen: Seen) -> None:
        self._wanted = wanted
        self._request = request
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._began = self._first = 0.0
        self._needs = -1
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A connection of TCP can be written to.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._end("cut")

    async def ask(self) -> None:
        self._parts, self._first, self._needs = [], 0.0, -1
        self._done = self._loop.create_future()
        self._began = time.monotonic()
        self.transport.write(self._request)
        late = self._loop.call_later(self._wanted.patience, self._late)
        await self._done
        late.cancel()

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            return
        self._parts.append(data)
        if self._wanted.pieces and not self._first and b'"content"' in data:
            self._first = time.monotonic()
        if self._is_whole(data):
            self._judge(b"".join(self._parts))

    def _is_whole(self, data: bytes) -> bool:
        """By its length, or by the end of its chunks; looked at cheaply, for it is asked at every packet."""
        if self._needs < 0:
            head, found, rest = b"".join(self._parts).partition(b"\r\n\r\n")
            if not found:
                return False
            length = head.lower().partition(b"content-length:")
            self._needs = int(length[2].partition(b"\r\n")[0]) - len(rest) if length[1] else 0
            self._chunked = not length[1]
            if self._chunked:
                # A header may end like a last chunk does.
                return rest == LAST_CHUNK or rest.endswith(b"\r\n" + LAST_CHUNK)
        else:
            self._needs -= len(data)
        if self._chunked:
            return (b"".join(self._parts[-2:]) if len(data) < 7 else data).endswith(LAST_CHUNK)
        return self._needs <= 0

    def _judge(self, answer: bytes) -> None:
        status = answer[9:12].decode()
        if status != "200":
            self._end(f"status {status}")
        elif self._wanted.pieces and answer.count(b'"content"') < self._wanted.pieces:
            self._end("pieces are missing")
        elif self._wanted.pieces and b"data: [DONE]" not in answer:
            self._end("no end")
        else:
            self._end("")

    def _late(self) -> None:
        self._end("too late")
        self.transport.abort()

    def _end(self, error: str) -> None:
        if self._done is None or self._done.done():
            return
        if error:
            self._seen.errors.append(error)
        else:
            self._seen.began.append(self._began)
            self._seen.seconds.append(time.monotonic() - self._began)
            self._seen.first.append(self._first - self._began)
        self._done.set_result(None)


class Crowd:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.seen = Seen()
        self._loop = asyncio.get_running_loop()
        self._requests = cycle([wanted.request(token) for token in wanted.tokens or [""]])

    async def connect(self) -> Caller:
        parts = urlsplit(self.wanted.url)
        request = next(self._requests)
        _transport, caller = await self._loop.create_connection(
            lambda: Caller(self.wanted, request, self.seen), parts.hostname or "", parts.port or 80
        )
        return caller

    async def all_at_once(self) -> None:
        callers = [await self.connect() for _ in range(self.wanted.callers)]
        # The server has taken all of them up before the first one speaks.
        await asyncio.sleep(1)
        await asyncio.gather(*(self._ask_after(caller, place) for place, caller in enumerate(callers)))

    async def _ask_after(self, caller: Caller, place: int) -> None:
        await asyncio.sleep(self.wanted.spread * place / self.wanted.callers)
        await caller.ask()

    async def again_and_again(self) -> None:
        until = time.monotonic() + self.wanted.warm_up + self.wanted.seconds
        callers = [await self.connect() for _ in range(self.wanted.callers)]
        await asyncio.gather(*(self._go_on(caller, until) for caller in callers))

    async def _go_on(self, caller: Caller, until: float) -> None:
        while time.monotonic() < until:
            if caller.closed:
                caller = await self.connect()
            await caller.ask()

    async def at_a_rate(self) -> None:
        """An open loop: who is late does not make the others late."""
        free = [await self.connect() for _ in range(self.wanted.callers)]
        began, tasks = time.monotonic(), []
        for number in range(int((self.wanted.warm_up + self.wanted.seconds) * self.wanted.rate)):
            await asyncio.sleep(began + number / self.wanted.rate - time.monotonic())
            tasks.append(asyncio.create_task(self._one(free)))
        await asyncio.gather(*tasks)

    async def _one(self, free: list[Caller]) -> None:
        caller = free.pop() if free else await self.connect()
        await caller.ask()
        if not caller.closed:
            free.append(caller)


async def call(wanted: Wanted) -> dict[str, Any]:
    crowd = Crowd(wanted)
    began = time.monotonic()
    if wanted.rate:
        await crowd.at_a_rate()
    elif wanted.seconds:
        await crowd.again_and_again()
    else:
        await crowd.all_at_once()
    ended = time.monotonic()
    starts = began + wanted.warm_up
    return account(crowd.seen, starts, starts + wanted.seconds if wanted.seconds else ended)


def account(seen: Seen, starts: float, ends: float) -> dict[str, Any]:
    """Of the answers that came between these two."""
    every = zip(seen.began, seen.seconds, seen.first, strict=True)
    rows = [row for row in every if starts <= row[0] + row[1] <= ends]
    return {
        "calls": len(rows),
        "all_calls": len(seen.seconds),
        "errors": len(seen.errors),
        "kinds": sorted(set(seen.errors)),
        "per_second": round(len(rows) / (ends - starts), 1),
        "ms": percentiles([row[1] for row in rows]),
        "first_ms": percentiles([row[2] for row in rows]),
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}
    found = {name: ordered[min(len(ordered) - 1, int(len(ordered) * place))] for name, place in places.items()}
    return {name: round(value * 1000, 2) for name, value in found.items()}


if __name__ == "__main__":
    print(json.dumps(loops.run(call(Wanted(**json.loads(sys.argv[1]))))))
