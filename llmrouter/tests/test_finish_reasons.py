"""Every provider has its own words for why an answer ended; callers read OpenAI's, and each answer has one."""

from typing import Any

import pytest

from llmrouter.errors import Overloaded
from llmrouter.providers import http
from llmrouter.providers.finish_reasons import finish_reason
from tests.standins.provider import ProviderStandIn

from .scripted import added_up, chunk, last_chunk, streams, tool, whole
from .talking import Talker, events_of, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

CALL = tool(None, "{}", id="c1", name="weather")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("COMPLETE", "stop"),
        ("eos", "stop"),
        ("something new", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("model_length", "length"),
        ("FINISH_REASON_MAX_TOKENS", "length"),
        ("max-tokens", "length"),
        ("maxTokens", "length"),
        ("toolUse", "tool_calls"),
        ("EndTurn", "stop"),
        ("tool_use", "tool_calls"),
        ("function_call", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("refusal", "content_filter"),
        ("", None),
        ("null", None),
        ("FINISH_REASON_UNSPECIFIED", None),
        (None, None),
        (0, None),
        ({"type": "length", "length": 10}, "length"),
        ({}, None),
        (["stop"], None),
    ],
)
def test_each_word_has_one_meaning(said: Any, meant: str | None) -> None:
    assert finish_reason(said) == meant


@pytest.mark.parametrize("said", ["error", "ERROR", "network_error", "abort", "MALFORMED_TOOL_CALL"])
def test_an_answer_that_ended_in_a_failure_is_one(said: str) -> None:
    with pytest.raises(Overloaded):
        finish_reason(said)


@pytest.mark.parametrize(
    ("said", "meant"), [("MAX_TOKENS", "length"), ("end_turn", "stop"), ("SAFETY", "content_filter")]
)
def test_a_whole_answer_and_a_stream_end_in_openais_word(
    pro: Talker, standin: ProviderStandIn, said: str, meant: str
) -> None:
    standin["openrouter"].faults = [whole("a", said)]
    assert pro.complete().json()["choices"][0]["finish_reason"] == meant
    assert pro.say()["finish_reason"] == meant
    standin["openrouter"].faults = [streams(chunk({"content": "a"}), chunk({}, said), last_chunk())]
    assert added_up(events_of(pro.complete(stream=True)))["reasons"] == [meant]
    assert {row.finish_reason for row in rows()} == {meant}


@pytest.mark.parametrize("not_yet", ["", "null", "FINISH_REASON_UNSPECIFIED"])
def test_a_reason_that_is_none_does_not_end_a_stream(pro: Talker, standin: ProviderStandIn, not_yet: str) -> None:
    pieces = [chunk({"content": "a"}, not_yet), chunk({"content": "b"}, not_yet)]
    standin["openrouter"].faults = [streams(*pieces, chunk({}, "stop"), last_chunk())]
    found = added_up(events_of(pro.complete(stream=True)))
    assert (found["content"], found["reasons"]) == ("ab", ["stop"])
    standin["openrouter"].faults = [streams(*pieces, last="")]
    assert added_up(events_of(pro.complete(stream=True)))["error"]["code"] == "provider_failed"


def test_a_reason_in_every_chunk_ends_the_answer_once_and_last(pro: Talker, standin: ProviderStandIn) -> None:
    pieces = [chunk({"content": word}, "stop") for word in ("un ", "deux ", "trois")]
    standin["openrouter"].faults = [streams(*pieces, last_chunk())]
    events = events_of(pro.complete(stream=True))
    found = added_up(events)
    assert (found["content"], found["reasons"]) == ("un deux trois", ["stop"])
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("said", [None, "", "stop", "tool_use"])
def test_an_answer_with_calls_of_tools_ends_in_tool_calls(pro: Talker, standin: ProviderStandIn, said: Any) -> None:
    """Agents go on working for that reason only."""
    standin["openrouter"].faults = [whole({"role": "assistant", "content": None, "tool_calls": [CALL]}, said)]
    assert pro.complete().json()["choices"][0]["finish_reason"] == "tool_calls"
    standin["openrouter"].faults = [streams(chunk({"tool_calls": [CALL]}), chunk({}, said), last_chunk())]
    assert added_up(events_of(pro.complete(stream=True)))["reasons"] == ["tool_calls"]


def test_a_call_that_was_cut_at_the_cap_says_length(pro: Talker, standin: ProviderStandIn) -> None:
    cut = tool(0, '{"city": "Or', id="c1", name="weather")
    standin["openrouter"].faults = [streams(chunk({"tool_calls": [cut]}), chunk({}, "max_tokens"), last_chunk())]
    assert added_up(events_of(pro.complete(stream=True)))["reasons"] == ["length"]


def test_tool_calls_without_a_call_is_an_ordinary_end(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [whole({"role": "assistant", "content": "a", "tool_calls": []}, "tool_calls")]
    assert pro.complete().json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("behind", [b"", b'data: {"choices": [], "usa', b"data: not json\n\n"])
def test_a_stream_that_is_cut_behind_its_reason_is_whole(pro: Talker, standin: ProviderStandIn, behind: bytes) -> None:
    """Only the usage is missing."""
    standin["openrouter"].faults = [streams(chunk({"content": "a"}), chunk({}, "stop"), behind, last="")]
    found = added_up(events_of(pro.complete(stream=True)))
    assert (found["content"], found["reasons"], found["error"]) == ("a", ["stop"], None)
    assert rows()[0].estimated


def test_a_stream_that_does_not_end_behind_its_reason_is_whole(
    pro: Talker, standin: ProviderStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ENDING_SECONDS", 0.2)
    comments = [b": x\n\n"] * 20
    standin["openrouter"].faults = [streams(chunk({"content": "a"}), chunk({}, "stop"), *comments, pace=0.05)]
    found = added_up(events_of(pro.complete(stream=True)))
    assert (found["content"], found["reasons"], found["error"]) == ("a", ["stop"], None)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("MAX_TOKENS_EXCEEDED", "length"),
        ("token_limit_reached", "length"),
        ("contextWindowFull", "length"),
        ("output_truncated", "length"),
        ("safety_filter", "content_filter"),
        ("moderation", "content_filter"),
        ("PolicyViolation", "content_filter"),
        ("tool_calling", "tool_calls"),
        ("function_calling", "tool_calls"),
        ("stop_string", "stop"),
        ("eos_found", "stop"),
        ("OTHER", "stop"),
    ],
)
def test_a_word_that_no_table_has_is_read_by_its_parts(said: str, meant: str) -> None:
    assert finish_reason(said) == meant


@pytest.mark.parametrize("said", ["engine_error", "MODEL_FAILURE", "server_overloaded", "request_timed_out_error"])
def test_a_failure_that_no_table_has_is_one(said: str) -> None:
    with pytest.raises(Overloaded):
        finish_reason(said)
