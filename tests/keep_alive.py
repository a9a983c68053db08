"""Callers with keep-alive connections, over plain sockets: an HTTP library would hide a reset by a silent retry."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

PATIENCE_SECONDS = 60


class Callers:
    """Each caller sends its next request on the same connection as soon as it has the answer to the last one.

    `answers` counts the statuses; beside them `cut: …` (the connection ended before the answer did) and `refused`
    (nothing listened, so nothing was sent). Used as a context manager, at whose end the callers finish their requests.
    """

    def __init__(self, port: int, keys: Sequence[str], *, number: int, think_seconds: float = 0.02) -> None:
        self.answers: Counter[str] = Counter()
        # Connections that the server closed after saying `Connection: close`.
        self.told_to_close = 0
        self._port = port
        self._keys = keys
        self._number = number
        self._think_seconds = think_seconds
        self._stopping = threading.Event()
        self._all_served = threading.Event()
        self._served: set[int] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._call_all()), daemon=True)

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_SECONDS + 10)

    def wait_until_all_are_served(self) -> None:
        """Every caller has had an answer: all the connections are open."""
        assert self._all_served.wait(PATIENCE_SECONDS), self.answers

    async def _call_all(self) -> None:
        await asyncio.gather(*(self._keep_calling(number) for number in range(self._number)))

    async def _keep_calling(self, number: int) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        request = self._request(number)
        while not self._stopping.is_set():
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError:
                self.answers["refused"] += 1
                await asyncio.sleep(0.1)
                continue
            keep = await self._call(*streams, request)
            if not keep:
                streams[1].close()
                streams = None
            self._served.add(number)
            if len(self._served) == self._number:
                self._all_served.set()
            await asyncio.sleep(self._think_seconds)
        if streams:
            streams[1].close()

    def _request(self, number: int) -> bytes:
        # Every third caller asks for a stream.
        body = json.dumps({"prompt": "Bonjour", "max_tokens": 50, "stream": number % 3 == 0}).encode()
        head = (
            "POST /api/v2/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self._keys[number % len(self._keys)]}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bool:
        """Count one answer; whether the connection may be used again."""
        try:
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
            await read_body(reader, head.lower())
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.answers[f"cut: {error!r}"] += 1
            return False
        self.answers[head[9:12].decode()] += 1
        closes = b"connection: close" in head.lower()
        self.told_to_close += closes
        return not closes


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"content-length:" in head:
        return await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    if b"data: [DONE]" not in body:
        raise ValueError("the stream ended without its last event")
    return body
