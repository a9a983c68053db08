"""What each credential opens: an API key the chat, a login the account and its money, a session nothing before the
second factor."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.permissions import KeyOrLogin
from conftest import key_of

from .access_table import LINES, Line, Who

pytestmark = pytest.mark.django_db

FOR_KEYS = {
    "api/auth/me",
    "api/v2/usage",
    "api/v2/usage/today",
    "api/v2/models",
    "v1/models",
    "v1/models/<path:name>",
}


def api_views(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, type[APIView]]]:
    for entry in resolver.url_patterns:
        pattern = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from api_views(entry, pattern)
        elif isinstance(entry, URLPattern) and (view := getattr(entry.callback, "cls", None)) is not None:
            yield pattern, view


# API keys


class NewView(APIView):
    """An endpoint whose author thought of no permission."""

    def get(self, request: Request) -> Response:
        return Response({})


def test_new_endpoint_is_closed_to_api_keys(alice: User) -> None:
    def status(token: str) -> int:
        request = APIRequestFactory().get("/new", headers={"Authorization": f"Bearer {token}"})
        return NewView.as_view()(request).status_code

    assert status(key_of(alice)) == 403
    assert status(str(AccessToken.for_user(alice))) == 200


def test_endpoints_that_take_api_keys_are_these() -> None:
    assert {name for name, view in api_views(get_resolver()) if KeyOrLogin in view.permission_classes} == FOR_KEYS


def test_public_endpoints_are_these() -> None:
    public = {name for name, view in api_views(get_resolver()) if AllowAny in view.permission_classes}
    assert public == {line.pattern for line in LINES if line.who is Who.ANYONE} & dict(api_views(get_resolver())).keys()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/payment/subscription/cancel"),
        ("GET", "/payment/transactions"),
        ("POST", "/payment/subscribe/student"),
        ("GET", "/payment/quote/student"),
        ("GET", "/payment/checkouts/some"),
        ("GET", "/payment/subscription/status"),
        ("POST", "/api/auth/keys"),
    ],
)
def test_api_key_reaches_neither_money_nor_keys(method: str, path: str, alice: User) -> None:
    answer = Client().generic(method, path, headers={"Authorization": f"Bearer {key_of(alice)}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "login_needed")


# Sessions before the second factor

# The way in, and what is served before Django knows of sessions.
OPEN = {"health", "admin/login/", "admin/second-factor", "admin/jsi18n/"}
BEARERS_ONLY = {
    name for name, view in api_views(get_resolver()) if SessionAuthentication not in view.authentication_classes
}
PAGES = [line for line in LINES if line.method == "GET" and line.pattern not in OPEN | BEARERS_ONLY]


@pytest.mark.parametrize("line", PAGES, ids=lambda line: line.pattern)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_staff_session_opens_no_page_before_the_second_factor(
    line: Line, accept: str, sara: User, settings: Any
) -> None:
    settings.STAFF_2FA = "required"
    browser = Client(headers={"Accept": accept})
    browser.force_login(sara)
    answer = browser.get(line.address.format(key=1, alice=1))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/second-factor")


def test_payment_pages_are_among_those_pages() -> None:
    assert {"payment/success", "payment/failure", "account", "admin/dashboard"} <= {line.pattern for line in PAGES}


def test_unknown_page_is_closed_before_the_second_factor(sara: User, settings: Any) -> None:
    settings.STAFF_2FA = "required"
    browser = Client(headers={"Accept": "text/html"})
    browser.force_login(sara)
    assert browser.get("/payment/nothing-here").headers["Location"].startswith("/admin/second-factor")


def test_bearer_is_served_beside_a_session_before_its_second_factor(sara: User, alice: User, settings: Any) -> None:
    settings.STAFF_2FA = "required"
    browser = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(alice)}"})
    browser.force_login(sara)
    assert browser.get("/payment/transactions").status_code == 200


# The clock of another server


def token(user: User, **claims: timedelta) -> str:
    now = datetime.now(UTC)
    payload = AccessToken.for_user(user).payload | {name: now + ahead for name, ahead in claims.items()}
    return jwt.encode(payload, django_settings.SIMPLE_JWT["SIGNING_KEY"], "HS256")


def status_with(text: str) -> int:
    return Client().get("/api/auth/me", headers={"Authorization": f"Bearer {text}"}).status_code


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_token_from_a_clock_a_few_seconds_ahead_is_accepted(claim: str, alice: User) -> None:
    assert status_with(token(alice, **{claim: timedelta(seconds=1)})) == 200
    assert status_with(token(alice, **{claim: timedelta(seconds=8)})) == 200


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_token_from_the_future_is_refused(claim: str, alice: User) -> None:
    assert status_with(token(alice, **{claim: timedelta(seconds=60)})) == 401


def test_access_token_ends_at_its_end(alice: User) -> None:
    assert status_with(token(alice, exp=timedelta(seconds=-2))) == 401
    assert status_with(token(alice, exp=timedelta(seconds=-60))) == 401
