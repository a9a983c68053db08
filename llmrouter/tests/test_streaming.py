"""Streams: pieces as they come, a settled bill, and an end that says what happened."""

from decimal import Decimal
from typing import Any

import pytest

from billing.money import dollars
from tests.concurrency import eventually
from tests.standins.provider import (
    ProviderStandIn,
    cut_stream,
    error,
    error_in_one_packet,
    error_in_stream,
    hang,
    runaway,
    silence_in_stream,
)
from usage import budget

from .talking import Talker, events_of, hang_up_after, rows, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]


def test_pieces_end_with_done(pro: Talker, standin: ProviderStandIn) -> None:
    response = pro.complete(stream=True)
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response["X-Accel-Buffering"] == "no"
    events = events_of(response)
    assert text_of(events).strip() == "Bonjour, je suis là."
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["id"] for chunk in chunks} == {f"chatcmpl-{response['X-Request-ID']}"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in chunks[0]
    (row,) = rows()
    assert (row.streamed, row.finish_reason, row.estimated, row.tokens_output) == (True, "stop", False, 4)
    assert row.cost_usd == standin["openrouter"].billed > 0
    assert budget.counters().held == 0


def test_the_usage_chunk_comes_when_asked_for(pro: Talker) -> None:
    events = events_of(pro.complete(stream=True, stream_options={"include_usage": True}))
    assert [chunk["usage"] for chunk in events[:-2]] == [None] * len(events[:-2])
    last = events[-2]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 4
    assert last["usage"]["cost"] > 0


def test_groq_is_asked_for_its_usage(pro: Talker, standin: ProviderStandIn) -> None:
    events_of(pro.complete(model="gpt-oss-120b", stream=True))
    assert standin["groq"].calls[0].body["stream_options"] == {"include_usage": True}
    assert rows()[0].tokens_output == 4


def test_v2_streams_the_same_pieces_and_ends_with_its_account(pro: Talker) -> None:
    events = events_of(pro.post(stream=True))
    assert text_of(events).strip() == "Bonjour, je suis là."
    account, done = events[-2:]
    assert done == "[DONE]"
    assert account["response"].strip() == "Bonjour, je suis là."
    assert (account["provider"], account["tokens"]["output"], account["fallback"]) == ("openrouter", 4, False)
    assert account["quota"]["remaining"] == 399


def test_comments_are_handled(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].comments = True
    response = pro.complete(stream=True)
    text = b"".join(response.streaming_content)
    assert text.count(b": keep-alive\n\n") == 3
    assert text.startswith(b"data: ")


def test_before_the_first_byte_a_failure_is_invisible(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(503)]
    response = pro.complete(stream=True)
    assert (response.status_code, response["X-IAF-Provider"], response["X-IAF-Fallback"]) == (200, "groq", "true")
    assert events_of(response)[-1] == "[DONE]"
    assert [(row.provider, row.error_flag) for row in rows()] == [("openrouter", True), ("groq", False)]


@pytest.mark.usefixtures("impatient")
def test_a_first_byte_that_does_not_come(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [hang(2)]
    response = pro.complete(stream=True)
    assert response["X-IAF-Provider"] == "groq"
    events_of(response)
    lost, _served = rows()
    assert (lost.estimated, lost.error_message) == (True, "timeout")


def test_an_error_before_the_first_byte_is_an_ordinary_answer(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = standin["groq"].faults = [error(500)]
    response = pro.complete(stream=True)
    assert response.status_code == 502
    assert response["Content-Type"] == "application/json"
    assert budget.counters(pro.user.pk).messages == 0


BROKEN: dict[str, Any] = {"cut": cut_stream(2), "error event": error_in_stream(2)}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_after_the_first_byte_a_failure_is_an_event(pro: Talker, standin: ProviderStandIn, fault: Any) -> None:
    standin["openrouter"].faults = [fault]
    events = events_of(pro.complete(stream=True))
    assert text_of(events[:-1]) == "Bonjour, je "
    assert events[-1]["error"]["code"] == "provider_failed"
    assert standin["groq"].calls == []
    (row,) = rows()
    assert (row.error_flag, row.estimated, row.counted) == (True, True, True)
    assert row.cost_usd >= standin["openrouter"].billed > 0
    now = budget.counters(pro.user.pk)
    assert (now.messages, now.held) == (1, 0)


@pytest.mark.usefixtures("impatient")
def test_comments_do_not_keep_a_silent_stream_alive(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [silence_in_stream(1, 5)]
    events = events_of(pro.complete(stream=True))
    assert events[-1]["error"]["code"] == "provider_failed"
    assert rows()[0].error_message == "timeout"


def test_a_runaway_is_stopped_at_what_was_held(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [runaway]
    events = events_of(pro.complete(stream=True, max_tokens=50))
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    assert events[-1] == "[DONE]"
    assert 50 <= len(text_of(events).split()) < 1000
    (row,) = rows()
    assert (row.finish_reason, row.estimated) == ("length", True)
    assert budget.counters().held == 0


def test_hanging_up_stops_the_provider_where_that_stops_the_bill(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].words = ["mot"] * 2000
    standin["openrouter"].pace = 0.005
    hang_up_after(2, pro.complete(stream=True))
    (row,) = rows()
    assert (row.finish_reason, row.estimated, row.counted, row.error_flag) == ("client_gone", True, True, False)
    eventually(lambda: standin["openrouter"].hung_up)
    assert standin["openrouter"].calls[0].billed <= row.cost_usd
    assert standin["openrouter"].hung_up == 1
    assert (budget.counters().held, budget.counters().spent) == (0, round(row.cost_usd * 10**9))


@pytest.mark.parametrize(
    ("call", "shows_all"),
    [
        ({}, True),
        ({"reasoning_effort": "none"}, True),
        ({"reasoning_effort": "high"}, False),
        ({"model": "grok-4.7"}, False),
    ],
)
def test_a_bill_for_thoughts_that_nobody_saw_is_in_what_was_held(
    pro: Talker, standin: ProviderStandIn, call: dict[str, Any], *, shows_all: bool
) -> None:
    """Twenty seconds of thoughts cost what a long answer costs, and nothing of them comes."""
    standin["openrouter"].words = ["mot"] * 2000
    standin["openrouter"].pace = 0.005
    response = pro.complete(stream=True, **call)
    held = budget.counters().held
    hang_up_after(2, response)
    assert (rows()[0].cost_usd < dollars(held)) == shows_all
    if not shows_all:
        assert rows()[0].cost_usd == dollars(held)
    assert (rows()[0].estimated, budget.counters().held) == (True, 0)


def test_hanging_up_reads_on_where_it_does_not(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    settings.GROQ_BILLING = "paid"
    standin["groq"].words = ["mot"] * 40
    standin["groq"].pace = 0.01
    hang_up_after(2, pro.complete(model="gpt-oss-120b", stream=True))
    (row,) = rows()
    assert (row.finish_reason, row.estimated, row.tokens_output) == ("client_gone", False, 40)
    assert standin["groq"].hung_up == 0


def test_a_stream_that_is_never_read_is_settled_too(pro: Talker) -> None:
    hang_up_after(0, pro.complete(stream=True))
    assert budget.counters().held == 0
    assert rows()[0].finish_reason == "client_gone"


def test_the_budget_holds_for_streams(pro: Talker, redis: Any) -> None:
    budget.counters()
    redis.set("budget:today:usd", "51.0")
    response = pro.complete(stream=True)
    assert (response["X-IAF-Provider"], response["X-IAF-Substitution"]) == ("groq", "budget")
    events_of(response)


def test_tool_calls_in_pieces(pro: Talker, standin: ProviderStandIn) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    standin["openrouter"].message = {"tool_calls": [call]}
    events = events_of(pro.complete(stream=True))
    last = events[-2]["choices"][0]
    assert last["finish_reason"] == "tool_calls"
    # The stand-in leaves out the index, as Gemini does.
    assert last["delta"]["tool_calls"] == [{"index": 0, **call}]


def test_costs_are_exact_to_the_nano_dollar(pro: Talker, standin: ProviderStandIn) -> None:
    events_of(pro.complete(stream=True))
    assert budget.counters().spent == standin["openrouter"].billed * Decimal(10**9)


def test_what_came_in_one_packet_with_an_error_was_said(pro: Talker, standin: ProviderStandIn) -> None:
    """It is shown, and it is not taken for an answer that cost nothing."""
    standin["openrouter"].faults = [error_in_one_packet]
    events = events_of(pro.complete(stream=True))
    assert text_of(events[:-1]) == "Bon Bon "
    assert "error" in events[-1]
    (row,) = rows()
    assert (row.provider, row.estimated, row.error_flag) == ("openrouter", True, True)
    assert row.cost_usd >= standin["openrouter"].billed > 0


def test_pieces_that_wait_together_leave_together(pro: Talker, standin: ProviderStandIn) -> None:
    """A reader that falls behind makes one pass for many of them, and loses none."""
    standin["openrouter"].words = [f"mot{number}" for number in range(300)]
    response = pro.complete(stream=True)
    eventually(lambda: standin["openrouter"].billed)
    parts = list(response.streaming_content)
    assert b"".join(parts).count(b"mot") == 300
    assert len(parts) < 100
