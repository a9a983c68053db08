"""/v1/chat/completions: the shape that OpenAI's clients need, and what of their requests goes upstream."""

from decimal import Decimal
from typing import Any

import pytest

from tests.standins.provider import ProviderStandIn, error
from usage import budget

from .talking import Talker, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

USER = {"role": "user", "content": "Bonjour"}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def test_a_completion(pro: Talker, standin: ProviderStandIn) -> None:
    response = pro.complete()
    body = response.json()
    assert body["object"] == "chat.completion"
    assert body["id"] == f"chatcmpl-{response['X-Request-ID']}"
    assert body["model"] == "gpt-4o"
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Bonjour, je suis là.", "refusal": None}
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    used = body["usage"]
    assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"] > 0
    assert Decimal(str(used["cost"])) == Decimal(response["X-IAF-Cost"]) == standin["openrouter"].billed
    assert (response["X-IAF-Provider"], response["X-IAF-Model"], response["X-IAF-Fallback"]) == (
        "openrouter",
        "gpt-4o",
        "false",
    )
    assert rows()[0].endpoint == "/v1/chat/completions"


def test_a_fallback_is_told_in_headers(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(500)]
    response = pro.complete()
    assert response.json()["model"] == "gpt-oss-120b"
    assert (response["X-IAF-Provider"], response["X-IAF-Fallback"]) == ("groq", "true")
    assert (response["X-IAF-Fallback-Level"], response["X-IAF-Substitution"]) == ("1", "outage")


def test_what_goes_upstream_and_what_does_not(pro: Talker, standin: ProviderStandIn) -> None:
    pro.complete(
        messages=[
            {"role": "developer", "content": "Sois bref.", "weird": 1},
            {"role": "user", "name": "Ali", "content": [{"type": "text", "text": "Météo ?"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}, "x": 1}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "22 °C"},
        ],
        max_tokens=900,
        max_completion_tokens=50,
        temperature=0.2,
        top_p=0.9,
        stop=["\n"],
        seed=7,
        user="u1",
        tools=[WEATHER],
        tool_choice="auto",
        parallel_tool_calls=False,
        response_format={"type": "json_object"},
        models=["other"],
        provider={"order": ["x"]},
        plugins=[{"id": "web"}],
        transforms=["x"],
        route="fallback",
        service_tier="priority",
        web_search_options={},
        store=True,
        metadata={"a": "b"},
        never_heard_of={"it": 1},
    )
    (call,) = standin["openrouter"].calls
    assert call.body == {
        "model": "openai/gpt-4o",
        "messages": [
            {"role": "system", "content": "Sois bref."},
            {"role": "user", "name": "Ali", "content": [{"type": "text", "text": "Météo ?"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "22 °C"},
        ],
        "max_tokens": 50,
        "temperature": 0.2,
        "top_p": 0.9,
        "stop": ["\n"],
        "seed": 7,
        "user": "u1",
        "tools": [WEATHER],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "provider": {"max_price": {"prompt": 2.5, "completion": 10, "request": 0}},
    }


def test_groq_is_not_sent_what_it_refuses(pro: Talker, standin: ProviderStandIn) -> None:
    pro.complete(model="gpt-oss-120b", messages=[{**USER, "name": "Ali"}], logprobs=True, logit_bias={"1": 2}, seed=1)
    (call,) = standin["groq"].calls
    assert call.body["messages"] == [USER]
    assert "logprobs" not in call.body
    assert "logit_bias" not in call.body
    assert call.body["seed"] == 1


def test_an_output_cap_is_always_sent(pro: Talker, standin: ProviderStandIn) -> None:
    pro.complete()
    assert standin["openrouter"].calls[0].body["max_tokens"] == 4096


def test_tool_calls_come_back(pro: Talker, standin: ProviderStandIn) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oran"}'}}]
    standin["openrouter"].message = {"content": None, "tool_calls": calls}
    (choice,) = pro.complete(tools=[WEATHER]).json()["choices"]
    assert (choice["finish_reason"], choice["message"]["tool_calls"]) == ("tool_calls", calls)


def test_an_image_goes_where_the_model_takes_it_at_its_flat_price(pro: Talker, standin: ProviderStandIn) -> None:
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]
    pro.complete(messages=[{"role": "user", "content": parts}], max_tokens=10)
    assert standin["openrouter"].calls[0].body["messages"][0]["content"] == parts


def test_an_image_for_a_model_that_takes_none(pro: Talker, standin: ProviderStandIn) -> None:
    parts = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    response = pro.complete(model="gpt-oss-120b", messages=[{"role": "user", "content": parts}])
    assert response.status_code == 400
    assert "takes no images" in response.json()["error"]["message"]


def test_the_bytes_of_an_image_are_not_held_as_text(pro: Talker, settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal("0.05")
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}]
    response = pro.complete(messages=[{"role": "user", "content": parts}], max_tokens=100)
    assert response["X-IAF-Provider"] == "openrouter"


def test_a_long_lived_cache_is_not_for_the_caller_to_order(pro: Talker, standin: ProviderStandIn) -> None:
    part = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    pro.complete(messages=[{"role": "user", "content": [part]}])
    sent = standin["openrouter"].calls[0].body["messages"][0]["content"][0]
    assert sent["cache_control"] == {"type": "ephemeral"}


ERRORS: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "unknown model": ({"model": "gpt-99"}, 404, "invalid_request_error", "model_not_found"),
    "no model": ({"model": None}, 400, "invalid_request_error", "invalid_request"),
    "no messages": ({"messages": []}, 400, "invalid_request_error", "invalid_request"),
    "n over 1": ({"n": 2}, 400, "invalid_request_error", "invalid_request"),
    "a role that is none": ({"messages": [{"role": "x"}]}, 400, "invalid_request_error", "invalid_request"),
    "a part that is none": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        400,
        "invalid_request_error",
        "invalid_request",
    ),
    "a local image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]},
        400,
        "invalid_request_error",
        "invalid_request",
    ),
    "hot": ({"temperature": 9}, 400, "invalid_request_error", "invalid_request"),
    "tools of another type": ({"tools": "weather"}, 400, "invalid_request_error", "invalid_request"),
    "a tool without a name": ({"tools": [{"type": "function"}]}, 400, "invalid_request_error", "invalid_request"),
    "a format that is none": ({"response_format": {"type": "xml"}}, 400, "invalid_request_error", "invalid_request"),
    "no cap": ({"max_completion_tokens": -1}, 400, "invalid_request_error", "invalid_request"),
}


@pytest.mark.parametrize(("body", "status", "kind", "code"), ERRORS.values(), ids=ERRORS)
def test_errors_have_openais_shape(pro: Talker, body: dict[str, Any], status: int, kind: str, code: str) -> None:
    response = pro.complete(**body)
    assert response.status_code == status
    found = response.json()["error"]
    assert sorted(found) == ["code", "message", "param", "type"]
    assert (found["type"], found["code"]) == (kind, code)
    assert budget.counters(pro.user.pk).messages == 0


def test_a_spent_quota_is_not_to_be_tried_again(free: Talker) -> None:
    for _ in range(3):
        assert free.complete().status_code == 200
    response = free.complete()
    assert response.status_code == 429
    assert response["x-should-retry"] == "false"
    assert response.json()["error"]["type"] == "insufficient_quota"
    assert "messages" in response.json()["error"]["message"]


def test_bad_credentials(db: None) -> None:
    from django.test import Client

    response = Client().post("/v1/chat/completions", "{}", content_type="application/json")
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"


def test_models(pro: Talker) -> None:
    listed = pro.get("/v1/models").json()
    assert listed["object"] == "list"
    assert {"gpt-4o", "claude-sonnet-4", "grok-2", "gpt-oss-120b", "llama-3.3"} <= {m["id"] for m in listed["data"]}
    one = pro.get("/v1/models/gpt-4o").json()
    assert (one["id"], one["object"], one["owned_by"]) == ("gpt-4o", "model", "OpenAI")
    assert isinstance(one["created"], int)
    missing = pro.get("/v1/models/gpt-99")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_answers_tell_where_the_caller_stands(pro: Talker) -> None:
    assert pro.get("/v1/models")["X-RateLimit-Limit"] == "15"
    assert pro.complete()["X-RateLimit-Remaining"] == "14"
