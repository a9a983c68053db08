"""/v1/chat/completions: the shape that OpenAI's clients need, and what of their requests goes upstream."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import Tier
from llmrouter.models import Model
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
        service_tier="auto",
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


def test_an_image_where_the_tier_has_no_model_for_it(free: Talker, standin: ProviderStandIn) -> None:
    """Not an outage, which clients would try again."""
    parts = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    response = free.complete(messages=[{"role": "user", "content": parts}])
    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")
    assert "no model that takes images" in response.json()["error"]["message"]
    assert standin["groq"].calls == []


def test_a_prompt_that_only_a_locked_model_could_read(free: Talker) -> None:
    response = free.complete(model="claude-sonnet-5.5", messages=[{"role": "user", "content": "a" * 1_100_000}])
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "gpt-oss-120b" in response.json()["error"]["message"]


def test_an_image_while_its_provider_is_not_configured(pro: Talker, settings: Any) -> None:
    """The model does take images: it is we who cannot."""
    settings.ENVIRONMENT.pop("OPENROUTER_API_KEY")
    parts = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    assert pro.complete(messages=[{"role": "user", "content": parts}]).status_code == 502


def test_an_image_is_not_a_matter_of_the_split(bob: User, standin: ProviderStandIn) -> None:
    """Groq's share of a student's turns has no model for it."""
    student = Talker(bob)
    parts = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    for _ in range(8):
        response = student.complete(messages=[{"role": "user", "content": parts}], max_tokens=10)
        assert response["X-IAF-Provider"] == "openrouter"
    assert standin["groq"].calls == []


def test_empty_fields_are_fields_not_used(pro: Talker, standin: ProviderStandIn) -> None:
    unused = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "user": "", "stop": [], "seed": None}
    assert pro.complete(**unused).status_code == 200
    assert not set(unused) & set(standin["openrouter"].calls[0].body)


def test_a_long_id_of_a_user_is_cut(pro: Talker, standin: ProviderStandIn) -> None:
    assert pro.complete(user="u" * 500).status_code == 200
    assert standin["openrouter"].calls[0].body["user"] == "u" * 64


def test_a_json_schema_goes_upstream_whole(pro: Talker, standin: ProviderStandIn) -> None:
    schema = {"name": "w", "strict": True, "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    asked = {"type": "json_schema", "json_schema": schema}
    assert pro.complete(response_format=asked).status_code == 200
    assert standin["openrouter"].calls[0].body["response_format"] == asked


@pytest.mark.parametrize("choice", ["none", "required", {"type": "function", "function": {"name": "weather"}}])
def test_a_choice_of_tool_goes_upstream(pro: Talker, standin: ProviderStandIn, choice: Any) -> None:
    assert pro.complete(tools=[WEATHER], tool_choice=choice).status_code == 200
    assert standin["openrouter"].calls[0].body["tool_choice"] == choice


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
    "the role of 2023": (
        {"messages": [{"role": "function", "name": "f", "content": "x"}]},
        400,
        "invalid_request_error",
        "invalid_request",
    ),
    "parameters that are no schema": (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
        400,
        "invalid_request_error",
        "invalid_request",
    ),
    "a prompt beyond the window": (
        {"messages": [{"role": "user", "content": "a" * 1_100_000}]},
        400,
        "invalid_request_error",
        "context_length_exceeded",
    ),
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


@pytest.mark.parametrize(
    ("headers", "code"), [({}, "not_authenticated"), ({"Authorization": "Bearer iaf_x"}, "invalid_api_key")]
)
def test_bad_credentials(db: None, headers: dict[str, str], code: str) -> None:
    response = Client().post("/v1/chat/completions", "{}", content_type="application/json", headers=headers)
    assert response.status_code == 401
    assert (response.json()["error"]["type"], response.json()["error"]["code"]) == ("authentication_error", code)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/responses", "/v1/models/", "/v1/chat/completions/"])
def test_what_is_not_there_is_told_as_openai_tells_it(pro: Talker, path: str) -> None:
    response = pro.send(path, {})
    assert (response.status_code, response.json()["error"]["type"]) == (404, "invalid_request_error")
    assert sorted(response.json()["error"]) == ["code", "message", "param", "type"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/api/v2/chat"])
def test_another_method(pro: Talker, path: str) -> None:
    method = Client().put if path == "/v1/models" else Client().get
    response = method(path, headers={"Authorization": f"Bearer {pro.key}"})
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert ("POST" in response["Allow"]) == (path != "/v1/models")


def test_a_body_that_is_too_large(pro: Talker) -> None:
    response = pro.send("/v1/chat/completions", b'{"model": "' + b"a" * 9_000_000 + b'"}')
    assert (response.status_code, response.json()["error"]["code"]) == (400, "body_too_large")


def test_a_limit_per_minute_may_be_tried_again(pro: Talker) -> None:
    Tier.objects.filter(name="pro").update(requests_per_minute=1)
    assert pro.complete().status_code == 200
    response = pro.complete()
    assert (response.status_code, response.json()["error"]["type"]) == (429, "rate_limit_error")
    assert "x-should-retry" not in response
    assert 0 < int(response["Retry-After"]) <= 60


def test_a_spent_budget_is_not_to_be_tried_again(pro: Talker, redis: Any, settings: Any) -> None:
    for name in ("GROQ_API_KEY", "GROQ_BASE_URL"):
        settings.ENVIRONMENT.pop(name)
    Model.objects.filter(last_resort=True).update(enabled=False)
    budget.counters()
    redis.set("budget:today:usd", "51.0")
    response = pro.complete()
    assert (response.status_code, response.json()["error"]["code"]) == (429, "budget_exceeded")
    assert response.json()["error"]["type"] == "insufficient_quota"
    assert response["x-should-retry"] == "false"


def test_a_crash_has_openais_shape_too(pro: Talker, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("llmrouter.v1.views.catalogue", crash)
    client = Client(raise_request_exception=False)
    response = client.get("/v1/models", headers={"Authorization": f"Bearer {pro.key}"})
    assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")


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
