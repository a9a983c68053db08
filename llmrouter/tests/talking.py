"""Somebody with a key and something to say, for the tests of both dialects."""

import json
from collections.abc import Iterator
from typing import Any

from django.test import Client

from accounts.models import User
from conftest import key_of
from usage.drainer import drain
from usage.models import UsageLog


class Talker:
    def __init__(self, user: User) -> None:
        self.user = user
        self.key = key_of(user)

    def send(self, path: str, body: Any, **headers: str) -> Any:
        content = body if isinstance(body, (str, bytes)) else json.dumps(body)
        headers["Authorization"] = f"Bearer {self.key}"
        return Client().post(path, content, content_type="application/json", headers=headers)

    def get(self, path: str) -> Any:
        return Client().get(path, headers={"Authorization": f"Bearer {self.key}"})

    def post(self, **body: Any) -> Any:
        """To `/api/v2/chat`."""
        return self.send("/api/v2/chat", body if "messages" in body else {"prompt": "Bonjour", **body})

    def say(self, **body: Any) -> dict[str, Any]:
        response = self.post(**body)
        assert response.status_code == 200, response.content
        answer: dict[str, Any] = response.json()
        return answer

    def complete(self, **body: Any) -> Any:
        """To `/v1/chat/completions`."""
        asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}], **body}
        return self.send("/v1/chat/completions", asked)


def rows() -> list[UsageLog]:
    """All usage rows, once the drainer has moved those on their way."""
    while drain():
        pass
    return list(UsageLog.objects.order_by("id"))


def events_of(response: Any) -> list[Any]:
    """The data of a stream's events, parsed; `[DONE]` as it is."""
    text = b"".join(response.streaming_content).decode()
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [part if part == "[DONE]" else json.loads(part) for part in data]


def text_of(events: list[Any]) -> str:
    return "".join(
        event["choices"][0]["delta"].get("content") or ""
        for event in events
        if event != "[DONE]" and event.get("choices")
    )


def hang_up_after(pieces: int, response: Any) -> None:
    """As gunicorn does it: read so far, and then close (without Django's signals, which would end the test)."""
    content: Iterator[bytes] = iter(response.streaming_content)
    for _ in range(pieces):
        next(content)
    for close in response._resource_closers:
        close()
