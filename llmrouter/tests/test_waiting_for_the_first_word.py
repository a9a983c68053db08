"""A model that thinks for long sends comments: it is waited for, and the client hears of us meanwhile."""

from dataclasses import replace
from typing import Any

import pytest

from llmrouter import chat
from llmrouter.providers import registry
from llmrouter.providers.registry import PROVIDERS
from tests.standins.provider import ProviderStandIn, error, hang
from usage import budget

from .scripted import added_up, chunk, last_chunk, streams
from .talking import Talker, events_of, hang_up_after, rows, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin", "impatient")]

COMMENT = b": OPENROUTER PROCESSING\n\n"
ANSWER = [chunk({"content": "42"}), chunk({}, "stop"), last_chunk()]
BROKEN = {"error": {"code": 502, "message": "upstream died"}}


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client hears of us at each sign of life."""
    monkeypatch.setattr(chat, "KEEP_ALIVE_SECONDS", 0.0)


@pytest.mark.parametrize("sign", [COMMENT, b"\n", b"data: \n\n", b"data: ping\n\n", b": half a comm"])
def test_signs_of_life_are_waited_for(pro: Talker, standin: ProviderStandIn, sign: bytes) -> None:
    """For longer than a first byte is."""
    standin["openrouter"].faults = [streams(*[sign] * 8, b"\n\n", *ANSWER, pace=0.1)]
    response = pro.complete(stream=True)
    assert response["X-IAF-Provider"] == "openrouter"
    assert "X-IAF-Waiting" not in response
    assert text_of(events_of(response)) == "42"
    (row,) = rows()
    assert (row.provider, row.estimated) == ("openrouter", False)


def test_a_role_does_not_end_the_waiting(pro: Talker, standin: ProviderStandIn) -> None:
    role = chunk({"role": "assistant", "content": ""})
    standin["openrouter"].faults = [streams(role, *[COMMENT] * 8, *ANSWER, pace=0.1)]
    assert text_of(events_of(pro.complete(stream=True))) == "42"
    assert [row.provider for row in rows()] == ["openrouter"]


def test_signs_of_life_are_waited_for_so_long_and_no_longer(
    pro: Talker, standin: ProviderStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = PROVIDERS["openrouter"]
    hurried = replace(known, patience=replace(known.patience, thinking=0.6))
    monkeypatch.setitem(PROVIDERS, "openrouter", hurried)
    registry.forget_connections()
    standin["openrouter"].faults = [streams(*[COMMENT] * 40, *ANSWER, pace=0.1)]
    response = pro.complete(stream=True)
    assert (response["X-IAF-Provider"], events_of(response)[-1]) == ("groq", "[DONE]")
    lost, _served = rows()
    assert (lost.error_message, lost.estimated) == ("timeout", True)


def test_silence_is_not_waited_for(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [hang(2)]
    response = pro.complete(stream=True)
    assert (response["X-IAF-Provider"], events_of(response)[-1]) == ("groq", "[DONE]")


@pytest.mark.usefixtures("talkative")
def test_the_client_hears_of_us_before_the_first_word(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams(*[COMMENT] * 3, *ANSWER, pace=0.02)]
    response = pro.complete(stream=True)
    assert (response["X-IAF-Waiting"], response["X-IAF-Provider"]) == ("true", "openrouter")
    parts = list(response.streaming_content)
    assert parts[0] == b": keep-alive\n\n"
    assert b"42" in b"".join(parts)
    assert b"".join(parts).startswith(b": keep-alive\n\n: keep-alive\n\n: keep-alive\n\ndata: ")


@pytest.mark.usefixtures("talkative")
@pytest.mark.parametrize("trouble", [BROKEN, b": cut\n\n"], ids=["an error", "a cut"])
def test_another_route_may_still_answer(pro: Talker, standin: ProviderStandIn, trouble: Any) -> None:
    """The headers named the one that was waited for; the first chunk names the one that answers."""
    standin["openrouter"].faults = [streams(COMMENT, trouble, last="", pace=0.02)]
    response = pro.complete(stream=True)
    assert response["X-IAF-Waiting"] == "true"
    events = events_of(response)
    assert events[0]["iaf"] == {
        "provider": "groq",
        "model": "gpt-oss-120b",
        "fallback": True,
        "fallback_level": 1,
        "substitution": "outage",
    }
    assert {event["model"] for event in events[:-1]} == {"gpt-oss-120b"}
    assert (text_of(events).strip(), events[-1]) == ("Bonjour, je suis là.", "[DONE]")
    assert "iaf" not in events[1]
    assert [(row.provider, row.error_flag) for row in rows()] == [("openrouter", True), ("groq", False)]
    assert budget.counters(pro.user.pk).messages == 1


@pytest.mark.usefixtures("talkative")
def test_the_account_of_v2_names_who_answered(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams(COMMENT, BROKEN, pace=0.02)]
    response = pro.post(stream=True)
    assert response["X-IAF-Waiting"] == "true"
    first, *_rest, account, _done = events_of(response)
    assert first["iaf"]["provider"] == "groq"
    assert (account["provider"], account["fallback"], account["response"].strip()) == (
        "groq",
        True,
        "Bonjour, je suis là.",
    )


@pytest.mark.usefixtures("talkative")
@pytest.mark.parametrize("door", ["post", "complete"])
def test_where_nobody_answers_the_stream_says_so_and_nothing_counts(
    pro: Talker, standin: ProviderStandIn, door: str
) -> None:
    standin["openrouter"].faults = [streams(COMMENT, BROKEN, pace=0.02), error(500)]
    standin["groq"].faults = [error(500)]
    found = added_up(events_of(getattr(pro, door)(stream=True)))
    assert (found["content"], found["error"]["code"]) == ("", "providers_failed")
    now = budget.counters(pro.user.pk)
    assert (now.messages, now.held) == (0, 0)


@pytest.mark.usefixtures("talkative")
def test_a_hang_up_while_a_model_thinks_counts(pro: Talker, standin: ProviderStandIn) -> None:
    """The model was at work, and what it thought may be billed."""
    standin["openrouter"].faults = [streams(*[COMMENT] * 200, *ANSWER, pace=0.02)]
    response = pro.complete(stream=True, reasoning_effort="high")
    held = budget.counters().held
    hang_up_after(2, response)
    (row,) = rows()
    assert (row.finish_reason, row.estimated, row.counted) == ("client_gone", True, True)
    now = budget.counters(pro.user.pk)
    assert (now.messages, now.held) == (1, 0)
    assert round(row.cost_usd * 10**9) == held
