"""Failures that come as answers, with a 200: another route answers, or the stream says that it broke."""

from decimal import Decimal
from typing import Any

import pytest

from llmrouter.providers.error_shapes import error_in, status_inside
from tests.standins.provider import Misbehaviour, ProviderStandIn, error

from .scripted import USAGE, added_up, chunk, last_chunk, streams, whole
from .talking import Talker, events_of, rows, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

ERRORS: dict[str, dict[str, Any]] = {
    "vLLM": {"object": "error", "message": "capacity exceeded", "type": "InternalServerError", "code": 503},
    "Mistral": {"object": "error", "message": "Service tier capacity exceeded", "code": "3505"},
    "FastAPI": {"detail": "Internal failure"},
    "FastAPI's validation": {"detail": [{"loc": ["body"], "msg": "failed", "type": "value_error"}]},
    "DashScope": {"code": "InternalError", "message": "x", "request_id": "r"},
    "NVIDIA": {"status": 500, "title": "Internal Server Error", "detail": "x"},
    "Cohere": {"message": "internal server error"},
    "Baidu": {"error_code": 336000, "error_msg": "Internal error"},
    "MiniMax": {"choices": None, "base_resp": {"status_code": 1000, "status_msg": "unknown error"}},
    "Cloudflare": {"success": False, "errors": [{"code": 3040, "message": "Capacity temporarily exceeded"}]},
    "Anthropic's": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "a sentence": {"error": "upstream connect error"},
    "a status": {"id": "x", "status": 503},
    "in a choice": {"choices": [{"index": 0, "delta": {}, "message": {}, "error": {"code": 502, "message": "x"}}]},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "a usage": {"choices": [], "usage": {"prompt_tokens": 1}},
    "Azure's first chunk": {"choices": [], "prompt_filter_results": [{}]},
    "an error of null": {"choices": [{"delta": {"content": "a"}}], "error": None},
    "a sound MiniMax": {"choices": [{"delta": {}}], "base_resp": {"status_code": 0, "status_msg": ""}},
    "Ollama's own": {"message": {"role": "assistant", "content": "a"}, "done": False},
    "a ping": {"type": "ping"},
    "a code that is none": {"code": 0, "message": "success"},
    "a status that is well": {"status": "success", "message": "done", "code": 200},
    "a frame": {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"},
}


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_no_error(body: dict[str, Any]) -> None:
    assert error_in(body) is None


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"code": 503}, 503),
        ({"code": "429"}, 429),
        ({"status": 500}, 500),
        ({"code": "3505"}, 502),
        ("no", 502),
        ({}, 502),
    ],
)
def test_its_status_is_read(said: Any, status: int) -> None:
    assert status_inside(said) == status


@pytest.mark.parametrize("body", ERRORS.values(), ids=ERRORS)
def test_before_the_first_word_another_route_answers(pro: Talker, standin: ProviderStandIn, body: Any) -> None:
    standin["openrouter"].faults = [error(200, body)]
    assert pro.complete()["X-IAF-Provider"] == "groq"
    for pieces in ([body], [chunk({"role": "assistant", "content": ""}), body]):
        standin["openrouter"].faults = [streams(*pieces)]
        response = pro.complete(stream=True)
        assert (response["X-IAF-Provider"], events_of(response)[-1]) == ("groq", "[DONE]")
    refused = [row for row in rows() if row.provider == "openrouter"]
    assert all(row.error_flag and not row.cost_usd for row in refused)


@pytest.mark.parametrize("body", ERRORS.values(), ids=ERRORS)
def test_after_it_the_stream_says_that_it_broke(pro: Talker, standin: ProviderStandIn, body: Any) -> None:
    standin["openrouter"].faults = [streams(chunk({"content": "abc"}), body)]
    found = added_up(events_of(pro.complete(stream=True)))
    assert (found["content"], found["error"]["code"], found["reasons"]) == ("abc", "provider_failed", [])
    assert (rows()[0].error_flag, rows()[0].estimated) == (True, True)


@pytest.mark.parametrize("wrong", [{"object": "error", "message": "no", "code": 400}, {"detail": "no", "status": 422}])
def test_what_a_provider_declines_is_the_callers_fault(pro: Talker, standin: ProviderStandIn, wrong: Any) -> None:
    standin["openrouter"].faults = [error(200, wrong)]
    assert pro.complete().status_code == 400


EMPTY: dict[str, list[Any]] = {
    "a role": [chunk({"role": "assistant", "content": ""})],
    "a role and a reason": [chunk({"role": "assistant"}), chunk({}, "stop")],
    "blank deltas": [chunk({"content": ""}), chunk({"content": None}), chunk({}, "stop"), last_chunk()],
    "a call without a name": [
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "stop"),
    ],
    "only a usage": [last_chunk()],
    "comments": [b": x\n\n"],
}


@pytest.mark.parametrize("pieces", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("last", ["[DONE]", ""])
def test_a_stream_without_a_word_is_a_failure(
    pro: Talker, standin: ProviderStandIn, pieces: list[Any], last: str
) -> None:
    standin["openrouter"].faults = [streams(*pieces, last=last)]
    response = pro.complete(stream=True)
    events = events_of(response)
    assert (response["X-IAF-Provider"], events[-1]) == ("groq", "[DONE]")
    assert text_of(events)


@pytest.mark.parametrize("message", [{"role": "assistant", "content": ""}, {"content": None, "tool_calls": []}, {}])
def test_a_whole_answer_without_a_word_is_a_failure(pro: Talker, standin: ProviderStandIn, message: Any) -> None:
    standin["openrouter"].faults = [whole(message)]
    response = pro.complete()
    assert (response.status_code, response["X-IAF-Provider"]) == (200, "groq")


@pytest.mark.parametrize(("reason", "shown"), [("length", "length"), ("content_filter", "content_filter")])
def test_thoughts_that_used_up_the_cap_and_refusals_are_answers(
    pro: Talker, standin: ProviderStandIn, reason: str, shown: str
) -> None:
    standin["openrouter"].faults = [whole("", reason)]
    assert pro.complete().json()["choices"][0]["finish_reason"] == shown
    standin["openrouter"].faults = [streams(chunk({"content": ""}), chunk({}, reason), last_chunk())]
    response = pro.complete(stream=True)
    assert response["X-IAF-Provider"] == "openrouter"
    assert added_up(events_of(response))["reasons"] == [shown]


def test_one_callers_empty_answers_take_the_model_from_nobody(
    pro: Talker, standin: ProviderStandIn, redis: Any
) -> None:
    standin["openrouter"].faults = [whole("")]
    for _ in range(4):
        pro.complete()
    assert redis.hgetall("health:open") == {}


def answered(body: Any) -> Misbehaviour:
    return error(200, body)


@pytest.mark.parametrize("said", [{}, {"message": "", "type": "", "param": "", "code": None}, "", None])
def test_an_error_without_a_word_is_none(pro: Talker, standin: ProviderStandIn, said: Any) -> None:
    """one-api puts it beside every answer."""
    events = [chunk({"content": "a"}), chunk({}, "stop"), last_chunk()]
    standin["openrouter"].faults = [streams(*({**event, "error": said} for event in events))]
    assert text_of(events_of(pro.complete(stream=True))) == "a"
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": USAGE, "error": said}
    standin["openrouter"].faults = [answered(body)]
    assert pro.say()["response"] == "a"
    assert [row.error_message for row in rows()] == ["", ""]


@pytest.mark.parametrize("door", ["/v1/chat/completions", "/api/v2/chat"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_that_tells_its_usage_costs_the_operator_that(
    pro: Talker, standin: ProviderStandIn, door: str, *, stream: bool
) -> None:
    """Gemini bills a call that it could not write."""
    ends = [chunk({"role": "assistant", "content": None}), chunk({}, "MALFORMED_FUNCTION_CALL"), last_chunk()]
    body = {"choices": [{"message": {"content": None}, "finish_reason": "MALFORMED_FUNCTION_CALL"}], "usage": USAGE}
    standin["openrouter"].faults = [streams(*ends) if stream else answered(body)]
    response = pro.complete(stream=stream) if door.startswith("/v1") else pro.post(stream=stream)
    if stream:
        events_of(response)
    failed, served = rows()
    assert (failed.cost_usd, failed.charged_usd, failed.estimated) == (Decimal("0.000225"), Decimal(0), False)
    assert (failed.error_message, served.provider) == ("finished_in_error", "groq")


def test_a_failure_behind_words_costs_the_operator_what_it_told(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams(chunk({"content": "a"}), chunk({}, "error", usage=USAGE))]
    assert added_up(events_of(pro.complete(stream=True)))["error"]["code"] == "provider_failed"
    (row,) = rows()
    assert (row.cost_usd, row.charged_usd, row.estimated) == (Decimal("0.000225"), Decimal(0), False)


FAILED = {"error": {"code": 502, "message": "upstream died"}, "choices": [{"index": 0, "delta": {}}]}
SAID = {
    "index": 0,
    "finish_reason": None,
    "delta": {"content": "Bon"},
    "message": {"role": "assistant", "content": "Bon"},
}
BEHIND_WORDS = {
    "a stream that answers a plain call": (False, streams(chunk({"content": "Bon"}), FAILED, last="")),
    "in a whole body with a part of the answer": (False, error(200, {**FAILED, "choices": [SAID]})),
    "in a body with a call of a tool": (
        False,
        error(200, {**FAILED, "choices": [{"message": {"content": None, "tool_calls": [{"id": "a"}]}}]}),
    ),
    "in the first event, beside words": (True, streams({**FAILED, "choices": [SAID]}, last="")),
}


@pytest.mark.parametrize(("stream", "fault"), BEHIND_WORDS.values(), ids=BEHIND_WORDS)
def test_an_error_behind_words_is_no_refusal_at_no_cost(
    stream: bool, fault: Any, pro: Talker, standin: ProviderStandIn
) -> None:
    """What was said may be billed. The operator counts the hold, the customer is charged nothing, and Groq answers."""
    standin["openrouter"].faults = [fault]
    response = pro.complete(stream=stream)
    assert response.status_code == 200
    if stream:
        events_of(response)
    first, second = rows()
    assert (first.provider, first.error_flag, first.estimated) == ("openrouter", True, True)
    assert first.cost_usd > first.payers_amount == 0
    assert (second.provider, second.error_flag) == ("groq", False)


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_any_word_costs_nothing(stream: bool, pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams(chunk({"role": "assistant", "content": ""}), FAILED, last="")]
    response = pro.complete(stream=stream)
    if stream:
        events_of(response)
    first = rows()[0]
    assert (first.provider, first.estimated) == ("openrouter", False)
    assert first.cost_usd == 0


@pytest.mark.parametrize("choices", [[], [{"index": 0, "finish_reason": "stop"}], None])
def test_an_answer_without_a_message_costs_the_operator_what_it_told(
    pro: Talker, standin: ProviderStandIn, choices: Any
) -> None:
    standin["openrouter"].faults = [answered({"choices": choices, "usage": USAGE})]
    assert pro.complete().headers["X-IAF-Provider"] == "groq"
    failed, _served = rows()
    assert (failed.cost_usd, failed.charged_usd, failed.error_message) == (Decimal("0.000225"), Decimal(0), "empty")


def test_a_filter_that_leaves_no_message_is_an_answer(pro: Talker, standin: ProviderStandIn) -> None:
    """Gemini answers so."""
    standin["openrouter"].faults = [answered({"choices": [{"finish_reason": "SAFETY"}], "usage": USAGE})]
    response = pro.complete()
    assert response.headers["X-IAF-Provider"] == "openrouter"
    (choice,) = response.json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "content_filter")
