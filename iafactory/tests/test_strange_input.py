"""Input that nobody meant, at the edges of the house: each has its answer, and none is a 500."""

import base64
import json
from typing import Any

import pytest
from django.test import Client
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.throttle import ADDRESSES_PER_ACCOUNT

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def test_a_garbage_cursor(client: Client, alice: User) -> None:
    cursor = base64.b64encode(b"p=garbage").decode()
    headers = {"Authorization": f"Bearer {AccessToken.for_user(alice)}"}
    assert client.get("/api/v2/usage", {"cursor": cursor}, headers=headers).status_code in (400, 404)


def test_nesting_without_end(client: Client) -> None:
    response = client.post("/api/auth/login", "[" * 10_000, content_type="application/json")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed_json")


def test_a_body_of_another_type(client: Client) -> None:
    response = client.post("/api/auth/login", "email=a", content_type="application/x-www-form-urlencoded")
    assert response.status_code == 415


def test_a_form_in_parts_that_have_no_boundary(client: Client) -> None:
    response = client.post("/admin/login/", b"--", content_type="multipart/form-data; boundary=")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_a_browser_at_an_address_of_the_api(client: Client, alice: User) -> None:
    headers = {"Authorization": f"Bearer {AccessToken.for_user(alice)}", "Accept": "text/html"}
    response = client.get("/api/v2/usage", headers=headers)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_a_host_that_is_not_ours(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["api.iafactory.dz"]
    response = client.get("/api/auth/me", headers={"Host": "evil.example"})
    assert (response.status_code, response["Content-Type"]) == (400, "application/json")
    assert client.get("/health", headers={"Host": "10.0.0.1"}).status_code == 200


def test_an_account_made_in_the_admin_can_log_in(client: Client, sara: User) -> None:
    client.force_login(sara)
    form = {
        "email": "New@Example.DZ",
        "password1": "correct horse b",
        "password2": "correct horse b",
        "usable_password": "true",
        "api_keys-TOTAL_FORMS": "0",
        "api_keys-INITIAL_FORMS": "0",
    }
    assert client.post("/admin/accounts/user/add/", form).status_code == 302
    body = json.dumps({"email": "New@Example.DZ", "password": "correct horse b"})
    assert client.post("/api/auth/login", body, content_type="application/json").status_code == 200


def test_guesses_at_the_admins_login_are_limited(client: Client, settings: Any) -> None:
    settings.LOGIN_LIMIT = "2/h"
    guess = {"username": "sara@example.dz", "password": "x"}
    assert [client.post("/admin/login/", guess).status_code for _ in range(3)] == [200, 200, 429]


def test_however_a_name_is_spelled_its_guesses_are_counted_together(client: Client, settings: Any, sara: User) -> None:
    """Django strips and folds what comes before it looks the account up."""
    settings.LOGIN_LIMIT = "1/h"
    settings.TRUSTED_PROXIES = ("127.0.0.0/8",)
    spellings = ["sara@example.dz", " sara@example.dz", "Sara@Example.dz", "s\uff41ra@example.dz", "sara@example.dz  "]

    def log_in(name: str, place: int) -> int:
        form = {"username": name, "password": "correct horse battery"}
        return client.post("/admin/login/", form, headers={"X-Forwarded-For": f"10.0.0.{place}"}).status_code

    assert [log_in(name, place) for place, name in enumerate(spellings)] == [302] * ADDRESSES_PER_ACCOUNT
    assert {log_in(name, 10 + place) for place, name in enumerate(spellings)} == {429}


def test_refresh_tokens_are_kept_nowhere(client: Client, alice: User) -> None:
    body = json.dumps({"email": alice.email, "password": "correct horse battery"})
    client.post("/api/auth/login", body, content_type="application/json")
    assert [row.token for row in OutstandingToken.objects.all()] == [""]


def test_the_chat_is_in_the_schema(client: Client) -> None:
    schema = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).content
    assert {"/api/v2/chat", "/v1/chat/completions"} <= set(json.loads(schema)["paths"])


def test_a_form_of_another_site_is_refused_in_the_house_s_way(alice: User) -> None:
    """Not by Django's own page, which has its style inside and speaks English only."""
    strict = Client(enforce_csrf_checks=True)
    response = strict.post("/admin/users/-1/soft-ban", "{}", content_type="application/json")
    assert response.status_code == 403
    assert "<style" not in response.content.decode()
    assert response.json()["error"]["code"] == "forbidden"
