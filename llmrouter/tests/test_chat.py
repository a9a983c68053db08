"""POST /api/v2/chat through the whole path but the web server; the providers are the stand-in, over HTTP."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import Tier, UserTier
from llmrouter.providers import registry
from tests.standins.provider import (
    ProviderStandIn,
    cut_body,
    error,
    error_inside_200,
    hang,
    html_502,
)
from usage import budget, health
from usage.process import this_process

from .talking import Talker, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]


def test_a_pro_request_goes_to_openrouter(pro: Talker, standin: ProviderStandIn) -> None:
    answer = pro.say(prompt="Bonjour", model="gpt-4o")
    assert answer["response"] == "Bonjour, je suis là."
    assert (answer["provider"], answer["model"], answer["requested_model"]) == ("openrouter", "gpt-4o", "gpt-4o")
    assert (answer["fallback"], answer["fallback_level"], answer["budget_fallback"]) == (False, 0, False)
    assert answer["quota"]["remaining"] == 399
    (call,) = standin["openrouter"].calls
    assert Decimal(str(answer["cost"])) == call.billed > 0
    (row,) = rows()
    assert row.cost_usd == call.billed
    assert (row.tokens_input, row.tokens_output) == (answer["tokens"]["input"], answer["tokens"]["output"])


def test_what_goes_upstream(pro: Talker, standin: ProviderStandIn) -> None:
    pro.say(
        messages=[{"role": "developer", "content": "Sois bref."}, {"role": "user", "content": "Salut"}],
        max_tokens=50,
        models=["a", "b"],
        provider={"order": ["x"]},
        service_tier="priority",
    )
    (call,) = standin["openrouter"].calls
    assert call.body == {
        "model": "openai/gpt-4o",
        "messages": [{"role": "system", "content": "Sois bref."}, {"role": "user", "content": "Salut"}],
        "max_tokens": 50,
        "temperature": 0.7,
        "provider": {"max_price": {"prompt": 2.5, "completion": 10, "request": 0}},
    }
    assert call.key == "sk-or-v1-test"


def test_headers(pro: Talker) -> None:
    response = pro.send("/api/v2/chat", {"prompt": "Bonjour"}, **{"X-Request-ID": "mine-1"})
    assert response["X-Request-ID"] == response.json()["id"]
    assert (response["X-RateLimit-Limit"], response["X-RateLimit-Remaining"]) == ("15", "14")
    assert 0 < int(response["X-RateLimit-Reset"]) <= 60
    assert rows()[0].client_request_id == "mine-1"


def test_a_free_user_gets_groq_and_is_told(free: Talker, standin: ProviderStandIn) -> None:
    answer = free.say(prompt="Bonjour")
    assert (answer["provider"], answer["model"], answer["requested_model"]) == ("groq", "gpt-oss-120b", "gpt-4o")
    assert (answer["substitution"], answer["fallback"], answer["cost"]) == ("tier", False, 0)
    assert standin["openrouter"].calls == []
    assert rows()[0].list_cost_usd > 0


def test_the_fourth_message_of_a_free_user_is_refused(free: Talker) -> None:
    for _ in range(3):
        free.say()
    response = free.post()
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "quota_exceeded"
    assert int(response["Retry-After"]) > 0


def test_the_per_minute_limit(free: Talker, charlie: User) -> None:
    UserTier.objects.create(user=charlie, tier_id="student")
    for _ in range(10):
        free.say()
    response = free.post()
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limited")
    assert 0 < int(response["Retry-After"]) <= 60
    assert response["X-RateLimit-Remaining"] == "0"


def test_a_spent_budget_sends_to_groq_and_says_so(pro: Talker, redis: Any) -> None:
    pro.say()
    redis.set("budget:today:usd", "51.0")
    answer = pro.say()
    assert (answer["provider"], answer["budget_fallback"], answer["budget_scope"]) == ("groq", True, "global")
    assert rows()[-1].budget_fallback


def test_a_users_own_day_sends_to_groq(pro: Talker) -> None:
    Tier.objects.filter(name="pro").update(user_daily_budget_usd=Decimal("0.0001"))
    answer = pro.say()
    assert (answer["provider"], answer["budget_scope"]) == ("groq", "user")


def test_a_clamped_answer_says_so(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    settings.DAILY_BUDGET_USD = Decimal("0.01")
    standin["openrouter"].output_tokens = None
    answer = pro.say(max_tokens=4000)
    assert answer["finish_reason"] == "length"
    assert 256 <= answer["tokens"]["output"] < 1000
    assert standin["openrouter"].billed <= Decimal("0.01")


FAULTS: dict[str, Any] = {
    "429": error(429, Retry_After="17"),
    "402": error(402),
    "500": error(500),
    "html 502": html_502,
    "error inside 200": error_inside_200(),
    "cut body": cut_body,
    "hang": hang(3),
    "not json": error(200, b"hello"),
    "no choices": error(200, {"id": "x", "choices": []}),
    "model gone": error(404, {"error": {"code": "model_not_found", "message": "gone"}}),
    "key refused": error(401, {"error": {"code": "invalid_api_key", "message": "no sk-or-v1-test"}}),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_providers_failure_is_not_the_users(pro: Talker, standin: ProviderStandIn, fault: Any) -> None:
    standin["openrouter"].faults = [fault]
    answer = pro.say()
    assert (answer["provider"], answer["fallback"], answer["fallback_level"]) == ("groq", True, 1)
    assert answer["substitution"] == "outage"
    failed, served = rows()
    assert (failed.provider, failed.error_flag, failed.attempt) == ("openrouter", True, 1)
    assert (served.provider, served.error_flag, served.attempt) == ("groq", False, 2)
    assert "sk-or" not in failed.error_message
    # What may have been billed is taken at the whole hold; what was refused costs nothing.
    assert failed.estimated == (failed.cost_usd > 0)
    assert standin["openrouter"].billed <= failed.cost_usd
    assert budget.counters().held == 0


def test_no_connection_leaves_no_row(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    settings.ENVIRONMENT["OPENROUTER_BASE_URL"] = "http://127.0.0.1:9/v1"
    assert pro.say()["provider"] == "groq"
    assert [row.provider for row in rows()] == ["groq"]


def test_the_last_resort(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(503), None]
    standin["groq"].faults = [error(503)]
    answer = pro.say()
    assert (answer["provider"], answer["model"], answer["fallback_level"]) == ("openrouter", "gpt-oss-20b-free", 2)
    assert answer["cost"] == 0


def test_when_every_provider_fails_nothing_is_charged_or_counted(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = standin["groq"].faults = [error(500)]
    response = pro.post()
    assert (response.status_code, response.json()["error"]["code"]) == (502, "providers_failed")
    now = budget.counters(pro.user.pk)
    assert (now.messages, now.spent, now.held) == (0, 0, 0)
    assert len(rows()) == 3


def test_what_a_provider_declines_is_the_callers_to_mend(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(400, {"error": {"message": "bad temperature sk-or-v1-test"}})]
    response = pro.post()
    assert (response.status_code, response.json()["error"]["code"]) == (400, "request_declined")
    assert "sk-or" not in response.content.decode()
    assert standin["groq"].calls == []
    assert budget.counters(pro.user.pk).messages == 0


def test_a_prompt_too_long_for_the_provider(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(400, {"error": {"code": "context_length_exceeded", "message": "…"}})]
    response = pro.post()
    assert (response.status_code, response.json()["error"]["code"]) == (400, "prompt_too_long")


def test_a_prompt_too_long_by_a_low_estimate(pro: Talker, standin: ProviderStandIn) -> None:
    response = pro.post(prompt="a" * 1_100_000)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "prompt_too_long")
    assert standin["openrouter"].calls == []


def test_what_keeps_failing_is_left_alone_and_tried_again_by_one(
    pro: Talker, standin: ProviderStandIn, travel: Callable[[float], None]
) -> None:
    standin["openrouter"].faults = [error(500)]
    for _ in range(5):
        assert pro.say()["provider"] == "groq"
    assert len(standin["openrouter"].calls) == 3
    travel(26)
    this_process().tick()
    standin["openrouter"].faults = []
    assert pro.say()["provider"] == "openrouter"
    assert pro.say()["provider"] == "openrouter"


def test_one_failed_trial_is_enough_to_leave_it_alone_again(
    pro: Talker, standin: ProviderStandIn, travel: Callable[[float], None]
) -> None:
    standin["openrouter"].faults = [error(500)]
    for _ in range(3):
        pro.say()
    travel(26)
    for _ in range(4):
        this_process().tick()
        assert pro.say()["provider"] == "groq"
    assert len(standin["openrouter"].calls) == 4


def test_a_refused_key_is_skipped_for_another(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    settings.ENVIRONMENT["OPENROUTER_API_KEY"] = "bad, good"
    standin["openrouter"].keys = {"good"}
    for _ in range(4):
        assert pro.say()["provider"] == "openrouter"
    keys = [call.key for call in standin["openrouter"].calls]
    assert keys.count("bad") <= 1
    assert keys.count("good") == 4


@pytest.mark.parametrize(("provider_after", "tried_after"), [(-15, 11), (1, 26)])
def test_the_one_try_of_a_provider_is_not_lost_on_a_bad_key(
    pro: Talker, standin: ProviderStandIn, settings: Any, provider_after: int, tried_after: int
) -> None:
    """The key's rest is not over yet, or it is, and the key is tried and refused again."""
    settings.ENVIRONMENT["OPENROUTER_API_KEY"] = "bad,good"
    openrouter = registry.connection("openrouter")
    assert openrouter is not None
    bad, _good = openrouter.keys
    pro.say()
    standin["openrouter"].keys = {"good"}

    def wait(seconds: int) -> None:
        settings.CLOCK_SHIFT_SECONDS += seconds

    # Whichever of the two keys has its turn.
    for _ in range(2):
        if provider_after < 0:
            health.failed("openrouter", "server_error (500)", at_once=True)
            wait(-provider_after)
        health.failed(bad.subject, "key_refused", at_once=True)
        if provider_after > 0:
            wait(provider_after)
            health.failed("openrouter", "server_error (500)", at_once=True)
        wait(tried_after)
        this_process().tick()
        assert pro.say()["provider"] == "openrouter"


def test_the_load_is_spread_over_the_keys(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    settings.ENVIRONMENT["OPENROUTER_API_KEY"] = "one,two"
    for _ in range(4):
        pro.say()
    keys = [call.key for call in standin["openrouter"].calls]
    assert (keys.count("one"), keys.count("two")) == (2, 2)


def test_the_name_llama_stays_and_the_answer_says_what_served(pro: Talker) -> None:
    answer = pro.say(model="llama-3.3")
    assert (answer["model"], answer["requested_model"], answer["provider"]) == ("gpt-oss-120b", "llama-3.3", "groq")


def test_paid_groq_is_held_and_settled(pro: Talker, settings: Any) -> None:
    settings.GROQ_BILLING = "paid"
    answer = pro.say(model="gpt-oss-120b")
    assert answer["cost"] > 0
    assert budget.counters().spent == round(answer["cost"] * 10**9)


def test_a_paid_answer_that_tells_no_usage_costs_its_whole_hold(pro: Talker, standin: ProviderStandIn) -> None:
    body = {"choices": [{"message": {"role": "assistant", "content": "hm"}, "finish_reason": "stop"}]}
    standin["openrouter"].faults = [error(200, body)]
    answer = pro.say()
    assert answer["response"] == "hm"
    (row,) = rows()
    assert row.estimated
    assert row.cost_usd > Decimal("0.02")


BAD_BODIES: dict[str, tuple[str | bytes, int, str]] = {
    "not json": ("{", 400, "invalid_request"),
    "not utf-8": (b'{"prompt": "\xff"}', 400, "invalid_request"),
    "empty": ("", 400, "invalid_request"),
    "a list": ("[1]", 400, "invalid_request"),
    "no prompt": ("{}", 400, "invalid_request"),
    "empty prompt": ('{"prompt": "  "}', 400, "invalid_request"),
    "prompt of another type": ('{"prompt": 5}', 400, "invalid_request"),
    "both": ('{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}', 400, "invalid_request"),
    "no messages": ('{"messages": []}', 400, "invalid_request"),
    "messages of another type": ('{"messages": "hello"}', 400, "invalid_request"),
    "a role that is none": ('{"messages": [{"role": "king", "content": "b"}]}', 400, "invalid_request"),
    "a message without content": ('{"messages": [{"role": "user"}]}', 400, "invalid_request"),
    "n over 1": ('{"prompt": "a", "n": 2}', 400, "invalid_request"),
    "no tokens": ('{"prompt": "a", "max_tokens": 0}', 400, "invalid_request"),
    "tokens as text": ('{"prompt": "a", "max_tokens": "9"}', 400, "invalid_request"),
    "tokens true": ('{"prompt": "a", "max_tokens": true}', 400, "invalid_request"),
    "hot": ('{"prompt": "a", "temperature": 3}', 400, "invalid_request"),
    "stream of another type": ('{"prompt": "a", "stream": "yes"}', 400, "invalid_request"),
    "unknown model": ('{"prompt": "a", "model": "gpt-99"}', 404, "model_not_found"),
    "model of another type": ('{"prompt": "a", "model": {}}', 400, "invalid_request"),
    "NUL in it": ('{"prompt": "a\\u0000b", "model": "x\\u0000"}', 404, "model_not_found"),
    "huge": (b'{"prompt": "' + b"a" * 9_000_000 + b'"}', 400, "body_too_large"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_input(pro: Talker, standin: ProviderStandIn, body: str | bytes, status: int, code: str) -> None:
    response = pro.send("/api/v2/chat", body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert budget.counters(pro.user.pk).messages == 0
    assert standin["openrouter"].calls == []
    assert response["X-Request-ID"]
    assert response["X-RateLimit-Limit"] == "15"


BAD_CREDENTIALS = {
    "none": None,
    "another scheme": "Basic YTpi",
    "nothing after it": "Bearer ",
    "an unknown key": "Bearer iaf_" + "x" * 40,
    "garbage": "Bearer \x01\x02garbage",
    "half a token": "Bearer eyJhbGciOiJIUzI1NiJ9.e30",
    "not latin": "Bearer كلمة",
    "very long": "Bearer " + "a" * 7000,
}


@pytest.mark.parametrize("header", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS)
def test_bad_credentials(db: None, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = Client().post("/api/v2/chat", '{"prompt": "a"}', content_type="application/json", headers=headers)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"


def test_another_method(pro: Talker) -> None:
    assert Client().get("/api/v2/chat", headers={"Authorization": f"Bearer {pro.key}"}).status_code == 405


def test_no_secret_in_the_logs(pro: Talker, standin: ProviderStandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    standin["openrouter"].faults = [error(401, {"error": {"message": "bad key sk-or-v1-test, prompt: secret-word"}})]
    pro.say(prompt="secret-word")
    for secret in ("sk-or-v1-test", "secret-word", pro.key):
        assert secret not in caplog.text
