"""Which pages may call us from a browser: any at the API of programs, ours alone everywhere else."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import Tier
from conftest import key_of
from llmrouter.models import Model
from usage.errors import RedisAway

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

ELSEWHERE = "https://app.example.dz"
API = ("/v1/chat/completions", "/v1/models", "/api/v2/chat", "/api/v2/models", "/api/v2/usage/today")
OURS_ALONE = ("/", "/api/auth/login", "/api/auth/keys", "/payment/plans", "/payment/subscribe/pro", "/admin/dashboard")
# What openai 6 for Node sends from a browser, and a header that no SDK has yet.
OF_THE_SDK = (
    "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
)
OF_TOMORROW = "authorization, x-stainless-poll-helper, openai-beta, x-new-sdk_2"


def preflight(path: str, headers: str = OF_THE_SDK, origin: str = ELSEWHERE, method: str = "POST") -> Any:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return Client().options(path, headers=asked)


def names(listed: str) -> set[str]:
    return {name.strip().lower() for name in listed.split(",")}


@pytest.mark.parametrize("path", API)
@pytest.mark.parametrize("headers", [OF_THE_SDK, OF_TOMORROW])
def test_a_preflight_allows_every_header_that_an_sdk_sends(path: str, headers: str) -> None:
    answer = preflight(path, headers)
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == ELSEWHERE
    assert names(headers) <= names(answer["Access-Control-Allow-Headers"])
    assert {"get", "post"} <= names(answer["Access-Control-Allow-Methods"])
    assert {"origin", "access-control-request-headers"} <= names(answer["Vary"])
    assert "Access-Control-Allow-Credentials" not in answer


@pytest.mark.parametrize("origin", ["null", "http://localhost:5173", "capacitor://localhost", "chrome-extension://abc"])
def test_pages_in_apps_and_files_may_call_the_api(origin: str) -> None:
    assert preflight("/v1/chat/completions", origin=origin)["Access-Control-Allow-Origin"] == origin


def test_what_is_no_name_of_a_header_is_not_sent_back() -> None:
    answer = preflight("/v1/chat/completions", "authorization, <script>")
    assert "script" not in answer["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("path", OURS_ALONE)
def test_other_addresses_answer_our_own_pages_only(path: str, settings: Any) -> None:
    assert "Access-Control-Allow-Origin" not in preflight(path)
    assert "Access-Control-Allow-Origin" not in Client().get(path, headers={"Origin": ELSEWHERE})
    ours = preflight(path, "authorization,content-type", origin=settings.FRONTEND_URL)
    assert ours["Access-Control-Allow-Origin"] == settings.FRONTEND_URL
    assert "Access-Control-Allow-Credentials" not in ours


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v2/chat"])
def test_a_page_elsewhere_reads_an_answer_and_its_headers(alice: User, path: str, stream: bool) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}], "stream": stream}
    headers = {"Authorization": f"Bearer {key_of(alice)}", "Origin": ELSEWHERE}
    answer: Any = Client().post(path, body, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    if stream:
        assert b"[DONE]" in b"".join(answer.streaming_content)
    assert answer["Access-Control-Allow-Origin"] == ELSEWHERE
    ours = {name.lower() for name in answer.headers if name.lower().startswith(("x-iaf", "x-request", "x-ratelimit"))}
    assert ours
    assert ours <= names(answer["Access-Control-Expose-Headers"])


def refused(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.content
    assert answer["Access-Control-Allow-Origin"] == ELSEWHERE
    assert {"retry-after", "x-request-id"} <= names(answer["Access-Control-Expose-Headers"])


def say(key: str, body: Any = None) -> Any:
    body = body or {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}]}
    headers = {"Authorization": f"Bearer {key}", "Origin": ELSEWHERE}
    return Client().post("/v1/chat/completions", body, content_type="application/json", headers=headers)


def test_a_page_elsewhere_reads_why_it_was_refused(alice: User) -> None:
    key = key_of(alice)
    refused(say("iaf_wrong"), 401)
    refused(say(key, "{"), 400)
    refused(say(key, {"model": "gpt-99", "messages": [{"role": "user", "content": "x"}]}), 404)
    refused(Client().get("/v1/nothing", headers={"Origin": ELSEWHERE}), 404)
    refused(Client().get("/v1/chat/completions", headers={"Origin": ELSEWHERE}), 405)
    refused(Client().get("/api/v2/models", headers={"Origin": ELSEWHERE}), 401)


def test_a_page_elsewhere_reads_that_it_came_too_often(alice: User) -> None:
    Tier.objects.filter(name="pro").update(requests_per_minute=1)
    key = key_of(alice)
    assert say(key).status_code == 200
    answer = say(key)
    refused(answer, 429)
    assert int(answer["Retry-After"]) > 0


def test_a_page_elsewhere_reads_that_we_cannot_answer(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any) -> None:
        raise RedisAway

    monkeypatch.setattr("llmrouter.journey.admit", away)
    refused(say(key_of(alice)), 503)


def test_a_page_elsewhere_reads_that_every_provider_failed(alice: User, settings: Any) -> None:
    Model.objects.update(enabled=False)
    Model.objects.filter(name="gpt-4o").update(enabled=True)
    settings.ENVIRONMENT = {}
    settings.PRODUCTION = True
    refused(say(key_of(alice)), 502)
