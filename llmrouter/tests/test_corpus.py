"""Answers in the shapes that providers document or were reported to send (`corpus`, written by us), through each door,
read by OpenAI's own client code. A line of a file is one answer, `whole` or a `stream`, and what it `means`."""

import json
from pathlib import Path
from typing import Any

import pytest
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.standins.provider import ProviderStandIn, error

from .scripted import streams
from .talking import Talker, events_of, rows, text_of
from .test_dialects_of_providers import serve_by

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

CORPUS = [
    pytest.param(path.stem, json.loads(line), id=f"{path.stem} {number}")
    for path in sorted(Path(__file__).with_name("corpus").glob("*.jsonl"))
    for number, line in enumerate(path.read_text().splitlines(), 1)
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def play(provider: str, answer: dict[str, Any], standin: ProviderStandIn, settings: Any) -> None:
    serve_by(provider, standin, settings)
    if "whole" in answer:
        standin[provider].faults = [error(200, answer["whole"])]
        return
    events = [f"{event}\n\n".encode() if isinstance(event, str) else event for event in answer["stream"]]
    standin[provider].faults = [streams(*events, last="" if provider == "anthropic" else "[DONE]")]


def read_whole(response: Any) -> ChatCompletion:
    completion = construct_type(type_=ChatCompletion, value=response.json())
    assert isinstance(completion, ChatCompletion)
    return completion


def read_stream(response: Any) -> ChatCompletion:
    """As OpenAI's client adds it up."""
    state = ChatCompletionStreamState()
    for event in events_of(response)[:-1]:
        chunk = construct_type(type_=ChatCompletionChunk, value=event)
        assert isinstance(chunk, ChatCompletionChunk)
        state.handle_chunk(chunk)
    return state.current_completion_snapshot


@pytest.mark.parametrize(("provider", "answer"), CORPUS)
@pytest.mark.parametrize("asks_for_stream", [False, True], ids=["asked whole", "asked streamed"])
def test_openais_client_reads_what_it_means(
    pro: Talker, standin: ProviderStandIn, settings: Any, provider: str, answer: Any, *, asks_for_stream: bool
) -> None:
    """A whole answer to who asked for a stream, and the reverse, too: some providers do that."""
    play(provider, answer, standin, settings)
    response = pro.complete(stream=asks_for_stream, tools=[TOOL], stream_options={"include_usage": True})
    assert (response.status_code, response["X-IAF-Provider"]) == (200, provider)
    completion = read_stream(response) if asks_for_stream else read_whole(response)
    (choice,), means = completion.choices, answer["means"]
    assert (choice.message.content or "", choice.finish_reason) == (means.get("text", ""), means["reason"])
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]  # type: ignore[union-attr]
    assert calls == [tuple(call) for call in means.get("calls", ())]
    said = choice.message.model_dump()
    assert (said.get("reasoning") or said.get("reasoning_content") or "") == means.get("reasoning", "")
    assert completion.usage is not None
    assert [completion.usage.prompt_tokens, completion.usage.completion_tokens] == means["tokens"]
    (row,) = rows()
    assert ([row.tokens_input, row.tokens_output], row.estimated) == (means["tokens"], False)


@pytest.mark.parametrize(("provider", "answer"), CORPUS)
def test_v2_reads_what_it_means(
    pro: Talker, standin: ProviderStandIn, settings: Any, provider: str, answer: Any
) -> None:
    play(provider, answer, standin, settings)
    if "stream" in answer:
        events = events_of(pro.post(stream=True))
        account, text = events[-2], text_of(events)
    else:
        account = pro.say()
        text = account["response"]
    means = answer["means"]
    assert (text, account["finish_reason"], account["provider"]) == (means.get("text", ""), means["reason"], provider)
    assert [account["tokens"]["input"], account["tokens"]["output"]] == means["tokens"]
