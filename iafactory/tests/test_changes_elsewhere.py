"""Views and pages show what another process of the product has just changed."""

from typing import Any

import pytest
from django.test import Client

from accounts import changes
from accounts.models import User
from conftest import key_of
from tests import elsewhere
from usage import changes as on_redis
from usage.changes import RedisBoard
from usage.errors import RedisAway

pytestmark = pytest.mark.django_db


class Caller:
    def __init__(self, user: User) -> None:
        self.headers = {"Authorization": f"Bearer {key_of(user)}"}

    def get(self, path: str) -> Any:
        return Client().get(path, headers=self.headers)


@pytest.mark.parametrize("path", ["/api/auth/me", "/api/v2/models", "/api/v2/usage/today"])
def test_tier_that_was_bought_is_shown(charlie: User, path: str) -> None:
    caller = Caller(charlie)
    assert caller.get(path).json()["tier"] == "free"
    elsewhere.given_tier(charlie.pk, "pro")
    assert caller.get(path).json()["tier"] == "pro"


@pytest.mark.parametrize("path", ["/api/v2/usage", "/api/v2/models", "/v1/models"])
def test_headers_tell_the_limit_of_now(charlie: User, path: str) -> None:
    caller = Caller(charlie)
    assert caller.get(path).headers["X-RateLimit-Limit"] == "5"
    elsewhere.given_tier(charlie.pk, "pro")
    assert caller.get(path).headers["X-RateLimit-Limit"] == "15"


def test_models_are_those_of_now(charlie: User) -> None:
    caller = Caller(charlie)
    assert "gpt-4o" in [model["id"] for model in caller.get("/v1/models").json()["data"]]
    elsewhere.changed(None, "UPDATE llm_models SET enabled = false WHERE name = 'gpt-4o'")
    assert "gpt-4o" not in [model["id"] for model in caller.get("/v1/models").json()["data"]]
    assert caller.get("/v1/models/gpt-4o").status_code == 404


def test_revoked_key_sees_nothing(charlie: User) -> None:
    caller = Caller(charlie)
    assert caller.get("/api/v2/usage").status_code == 200
    elsewhere.changed(charlie.pk, "UPDATE api_keys SET revoked_at = now()")
    assert caller.get("/api/v2/usage").status_code == 401


def test_account_page_shows_the_tier_of_now(charlie: User, client: Client) -> None:
    client.force_login(charlie)
    assert client.get("/account").context["entitlement"].tier == "free"
    elsewhere.given_tier(charlie.pk, "pro")
    assert client.get("/account").context["entitlement"].tier == "pro"


def test_views_are_served_from_memory_while_redis_is_away(charlie: User, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(charlie)
    caller.get("/api/auth/me")

    def reaching_redis() -> Any:
        raise RedisAway

    # A board of its own: that Redis is away is remembered for a second.
    monkeypatch.setattr(changes, "_board", RedisBoard())
    monkeypatch.setattr(on_redis, "reaching_redis", reaching_redis)
    assert caller.get("/api/auth/me").json()["tier"] == "free"
