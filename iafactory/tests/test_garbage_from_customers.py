"""Customers send values that no row can have: none of the answers is a 500."""

import base64
import json

import pytest
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User

pytestmark = pytest.mark.django_db

GARBAGE = ["\x00", "a\x00b", "9" * 20, "9" * 5000, "-1", "0000-00-00", "99999-01-01", "x" * 3000, "NaN", "\u202e"]
# In addresses: `%ff` is no UTF-8, `%ed%a0%80` a lone surrogate.
IN_ADDRESSES = ["%00", "a%00b", "9" * 20, "9" * 5000, "-1", "%ff", "%ed%a0%80", "x" * 3000, "NaN"]


@pytest.fixture
def client(alice: User) -> Client:
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {AccessToken.for_user(alice)}"})
    client.force_login(alice)
    return client


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: ascii(value)[:12])
def test_bodies_of_the_api_survive_garbage(client: Client, value: str) -> None:
    fields = ("email", "password", "otp", "refresh_token", "name", "reason")
    for path in ("register", "login", "refresh", "logout", "keys"):
        for given in (value, [value], {"a": value}, 10**15, 1e300, None, True):
            body = json.dumps(dict.fromkeys(fields, given))
            response = client.post(f"/api/auth/{path}", body, content_type="application/json")
            assert response.status_code < 500, (path, given)


@pytest.mark.parametrize(("escape", "status"), [(r"\ud800", {201, 400}), (r"\u0000", {400})])
def test_surrogates_and_nul_in_json_are_no_failure_of_ours(client: Client, escape: str, status: set[int]) -> None:
    body = f'{{"name": "a{escape}b"}}'
    assert client.post("/api/auth/keys", body, content_type="application/json").status_code in status


@pytest.mark.parametrize("value", IN_ADDRESSES, ids=lambda value: value[:12])
def test_addresses_of_the_api_and_the_pages_survive_garbage(client: Client, value: str) -> None:
    paths = [f"/api/v2/usage?cursor={value}", f"/api/v2/usage?page_size={value}", f"/api/v2/models?x={value}"]
    paths += [f"/payment/quote/{value}", f"/payment/checkouts/{value}", f"/payment/transactions?cursor={value}"]
    paths += [f"/account/invoices/{value}", f"/account/invoices/{value}.pdf", f"/account/buy/{value}"]
    paths += [f"/renew/{value}", f"/payment/success?checkout_id={value}", f"/account/payment-state?checkout_id={value}"]
    paths += [f"/sign-in?next={value}", f"/payment/transactions?page={value}"]
    assert [path[:60] for path in paths if client.get(path).status_code >= 500] == []
    assert client.delete(f"/api/auth/keys/{value}").status_code < 500
    assert client.post(f"/account/keys/{value}/revoke").status_code < 500


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: ascii(value)[:12])
def test_forms_of_the_pages_survive_garbage(client: Client, value: str) -> None:
    form = dict.fromkeys(("email", "password", "name", "language", "next", "amount", "username", "otp"), value)
    paths = ("/sign-up", "/sign-in", "/language", "/account/keys", "/account/buy/pro", "/account/reminders/cancel")
    assert [path for path in paths if client.post(path, form).status_code >= 500] == []


@pytest.mark.parametrize(
    "position", ["\x00", "99999-01-01", "9999-12-31 23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2026-02-31T00:00Z"]
)
def test_a_cursor_without_an_instant_is_refused(client: Client, position: str) -> None:
    cursor = base64.b64encode(f"p={position.replace('+', '%2B')}".encode()).decode()
    assert client.get("/api/v2/usage", {"cursor": cursor}).status_code == 404


def test_a_cookie_that_holds_nul_is_refused(client: Client) -> None:
    client.cookies.clear()
    response = client.get("/account", headers={"Cookie": r'sessionid="aaaaaaaaaaaa\000"'})
    assert response.status_code == 400


def test_a_length_of_thousands_of_digits_is_refused(client: Client) -> None:
    body = json.dumps({"email": "a@example.dz", "password": "x"})
    response = client.post("/api/auth/login", body, content_type="application/json", CONTENT_LENGTH="9" * 5000)
    assert response.status_code == 400
