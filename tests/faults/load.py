"""People who call all the time, over HTTP: whole answers, streams, and streams that they hang up on."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

Kind = Literal["plain", "stream", "hang-up"]
KINDS: tuple[Kind, ...] = ("plain", "plain", "stream", "stream", "hang-up")
THREADS = {"pro": 2, "student": 2, "enterprise": 4, "free": 1}
PATIENCE_SECONDS = 60
# So many connections at once that no worker takes them all.
CROWD = 60


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    tier: str
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended for its caller. `end`: `whole`, `error` (an error event ended the stream), `hung up` (by the
    caller), `refused` (nothing listened, so nothing was sent), or `cut`: the connection ended before the answer did."""

    marker: str
    kind: Kind
    status: int
    seconds: float
    end: str
    code: str = ""


class Load:
    def __init__(self, port: int, people: list[Person], *, seed: int = 0) -> None:
        self.outcomes: list[Outcome] = []
        self._port = port
        self._people = people
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for person in self._people:
            for _ in range(THREADS[person.tier]):
                thread = threading.Thread(target=self._keep_calling, args=[person], daemon=True)
                thread.start()
                self._threads.append(thread)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS + 10)

    def all_at_once(self, number: int) -> list[Outcome]:
        """So many calls in the same moment, beside the others."""
        found: list[Outcome] = []
        threads = [
            threading.Thread(target=lambda p=person: found.append(self.call(p, "plain")))
            for person in (self._people * number)[:number]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS + 10)
        self.outcomes += found
        return found

    def introduce_everyone(self) -> None:
        """Make each worker know each caller: connections are kept alive, so a worker may have met few of them."""
        crowd = [self._connection() for _ in range(CROWD)]
        for connection in crowd:
            connection.connect()
        for connection in crowd:
            for person in self._people:
                connection.request("GET", "/api/v2/models", headers={"Authorization": f"Bearer {person.key}"})
                connection.getresponse().read()
            connection.close()

    def statuses(self) -> Counter[int]:
        return Counter(outcome.status for outcome in self.outcomes)

    def _keep_calling(self, person: Person) -> None:
        # Kept alive from call to call, as browsers, SDKs and proxies do: a stop must not cut such a connection.
        connection = self._connection()
        while not self._stopping.is_set():
            outcome = self._call_on(connection, person, self._random.choice(KINDS))
            self.outcomes.append(outcome)
            self._stopping.wait(0.05 if outcome.status == 200 else 0.5)
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)

    def call(self, person: Person, kind: Kind) -> Outcome:
        """On a connection of its own."""
        connection = self._connection()
        try:
            return self._call_on(connection, person, kind)
        finally:
            connection.close()

    def _call_on(self, connection: http.client.HTTPConnection, person: Person, kind: Kind) -> Outcome:
        marker, began = uuid4().hex, time.monotonic()
        status, end, code = 0, "cut", ""
        try:
            if connection.sock is None:
                connection.connect()
            body = {"prompt": f"{marker} " + "é" * self._random.randrange(50), "max_tokens": 200}
            headers = {"Authorization": f"Bearer {person.key}", "X-Request-ID": marker}
            connection.request("POST", "/api/v2/chat", json.dumps({**body, "stream": kind != "plain"}), headers)
            answer = connection.getresponse()
            status = answer.status
            if status != 200:
                code = json.loads(answer.read())["error"]["code"]
                end = "whole"
            elif kind == "plain":
                json.loads(answer.read())
                end = "whole"
            else:
                end = read_stream(answer, words=5 if kind == "hang-up" else None)
        except ConnectionRefusedError:
            end = "refused"
        except (OSError, http.client.HTTPException, ValueError):
            pass
        finally:
            if end not in ("whole", "error"):
                connection.close()
        return Outcome(marker, kind, status, time.monotonic() - began, end, code)


def read_stream(answer: http.client.HTTPResponse, *, words: int | None) -> str:
    """To its end, or so many words of it."""
    events = 0
    while line := answer.readline():
        if line.startswith(b"data: [DONE]"):
            answer.read()
            return "whole"
        if line.startswith(b"data: ") and b'"error"' in line:
            answer.read()
            return "error"
        events += line.startswith(b"data: ")
        if words is not None and events >= words:
            return "hung up"
    return "cut"
