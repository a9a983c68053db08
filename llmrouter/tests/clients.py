"""How clients read our answers: OpenAI's own SDK, `requests`, browsers' EventSource, and strict readers of JSON.

They get the bytes and headers that a door answered, as if those came over the network.
"""

import io
import json
import re
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

SAY: Any = [{"role": "user", "content": "Bonjour"}]


@dataclass(frozen=True)
class Answered:
    """What a door answered."""

    status: int
    headers: dict[str, str]
    body: bytes


def answered(response: Any) -> Answered:
    """Of Django's test client, read to its end."""
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return Answered(response.status_code, dict(response.headers), body)


def strict_json(body: bytes | str) -> Any:
    """As `jq` and browsers read it: UTF-8, and no NaN or Infinity."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    return json.loads(body if isinstance(body, str) else body.decode("utf-8", "strict"), parse_constant=refuse)


def as_event_source(answer: Answered) -> list[tuple[str, str]]:
    """Type and data of each event, by the rules of the HTML standard (section 9.2.6)."""
    assert answer.headers["Content-Type"].split(";")[0].strip() == "text/event-stream"
    found: list[tuple[str, str]] = []
    kind = ""
    data: list[str] = []
    for line in re.split("\r\n|\n|\r", answer.body.decode("utf-8").removeprefix("\ufeff"))[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            found += [(kind or "message", "\n".join(data))] if data else []
            kind, data = "", []
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
    # What no blank line ends is not dispatched.
    return found


def by_iter_lines(answer: Answered) -> list[str]:
    """The data of each event, as users of `requests` write it, in the charset that our header names."""
    response = requests.Response()
    response.status_code, response.raw = answer.status, io.BytesIO(answer.body)
    response.headers = CaseInsensitiveDict(answer.headers)
    response.encoding = get_encoding_from_headers(response.headers)
    lines = response.iter_lines(chunk_size=7, decode_unicode=True)
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def sdk_for(answer: Answered) -> openai.OpenAI:
    """OpenAI's SDK at a server that answers this."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)

    client = openai.DefaultHttpxClient(transport=httpx2.MockTransport(handle))
    return openai.OpenAI(base_url="http://us/v1", api_key="iaf_x", http_client=client, max_retries=0)


def whole_by_sdk(answer: Answered) -> Any:
    completion = sdk_for(answer).chat.completions.create(model="gpt-4o", messages=SAY)
    # It takes answers as they come: this checks its types.
    type(completion).model_validate(completion.model_dump(), strict=False)
    return completion


def streamed_by_sdk(answer: Answered) -> Any:
    """The completion that its own helper adds up of the stream's parts."""
    with sdk_for(answer).chat.completions.stream(model="gpt-4o", messages=SAY) as stream:
        stream.until_done()
        # Not the final one, which is an exception where the answer was cut.
        return stream.current_completion_snapshot
