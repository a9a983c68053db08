"""Register, log in, refresh, log out, keys: over the API, with a real database."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts import authentication
from accounts.models import ApiKey, User
from accounts.throttle import ADDRESSES_PER_ACCOUNT, client_address
from billing.models import UserTier
from conftest import key_of, person
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db

GOOD = {"email": "Alice@Example.dz", "password": "correct horse battery"}


def post(path: str, body: Any, token: str = "", **headers: str) -> Any:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return Client().post(f"/api/auth/{path}", body, content_type="application/json", headers=headers)


def get(path: str, token: str) -> Any:
    return Client().get(path, headers={"Authorization": f"Bearer {token}"})


def test_register() -> None:
    response = post("register", GOOD)
    assert response.status_code == 201
    body = response.json()
    assert (body["id"], body["email"]) == (User.objects.get().pk, "alice@example.dz")
    assert get("/api/auth/me", body["access_token"]).json() == {
        "id": body["id"],
        "email": "alice@example.dz",
        "tier": "free",
        "is_staff": False,
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**GOOD, "email": "ALICE@example.dz"}, "email_taken"),
        ({"email": "b@example.dz", "password": "12345678"}, "weak_password"),
        ({"email": "b@example.dz", "password": "password"}, "weak_password"),
        # What resembles the address is the first thing that a guesser tries.
        ({"email": "amina.b@example.dz", "password": "amina.b@example.dz"}, "weak_password"),
        ({"email": "Amina.B@Example.dz", "password": "aMINA.b@eXAMPLE.DZ"}, "weak_password"),
        ({"email": "aminabensalem@example.dz", "password": "aminabensalem1"}, "weak_password"),
        ({"email": "no address", "password": "correct horse battery"}, "invalid_request"),
        ({"email": '"a\x1cb:c"@example.dz', "password": "correct horse battery"}, "invalid_request"),
        ({"email": '"<script>"@example.dz', "password": "correct horse battery"}, "invalid_request"),
        ({"email": "b@example.dz"}, "invalid_request"),
        ({"email": "b@example.dz", "password": {"a": 1}}, "invalid_request"),
        ({"email": "b@example.dz", "password": "x" * 300}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
def test_what_cannot_register(body: Any, code: str) -> None:
    person("alice@example.dz")
    response = post("register", body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)


def test_nobody_makes_himself_staff() -> None:
    assert post("register", {**GOOD, "is_staff": True, "is_superuser": True}).status_code == 201
    assert not User.objects.get().is_staff


def test_log_in(alice: User) -> None:
    response = post("login", {"email": "ALICE@example.dz", "password": "correct horse battery"})
    body = response.json()
    assert (response.status_code, body["token_type"], body["expires_in"]) == (200, "bearer", 3600)
    assert get("/api/auth/me", body["access_token"]).json()["tier"] == "pro"
    lifetime = RefreshToken(body["refresh_token"]).payload["exp"] - timezone.now().timestamp()
    assert timedelta(days=29, hours=23) < timedelta(seconds=lifetime) <= timedelta(days=30)


def test_a_wrong_password_and_an_unknown_address_look_alike(alice: User) -> None:
    wrong = post("login", {"email": "alice@example.dz", "password": "wrong"})
    unknown = post("login", {"email": "nobody@example.dz", "password": "wrong"})
    assert (wrong.status_code, wrong.content) == (unknown.status_code, unknown.content)
    assert wrong.status_code == 401


def test_an_inactive_account_cannot_log_in_and_its_tokens_end(alice: User) -> None:
    token = str(AccessToken.for_user(alice))
    assert get("/api/auth/me", token).status_code == 200
    User.objects.update(is_active=False)
    authentication.forget_callers()
    assert get("/api/auth/me", token).status_code == 401
    assert post("login", {"email": alice.email, "password": "correct horse battery"}).status_code == 401


def test_a_refresh_token_is_good_for_one_use(alice: User) -> None:
    first = post("login", {"email": alice.email, "password": "correct horse battery"}).json()["refresh_token"]
    second = post("refresh", {"refresh_token": first})
    assert second.status_code == 200
    assert post("refresh", {"refresh_token": first}).status_code == 401
    assert post("refresh", {"refresh_token": second.json()["refresh_token"]}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_eight_refreshes_at_once_one_succeeds(alice: User) -> None:
    token = str(RefreshToken.for_user(alice))
    responses, _raised = at_once(8, lambda: post("refresh", {"refresh_token": token}))
    assert sorted(response.status_code for response in responses) == [200] + [401] * 7


def test_log_out_ends_the_refresh_token(alice: User) -> None:
    token = post("login", {"email": alice.email, "password": "correct horse battery"}).json()["refresh_token"]
    assert post("logout", {"refresh_token": token}).status_code == 204
    assert post("refresh", {"refresh_token": token}).status_code == 401


def test_an_access_token_is_no_refresh_token_nor_the_reverse(alice: User) -> None:
    assert post("refresh", {"refresh_token": str(AccessToken.for_user(alice))}).status_code == 401
    assert get("/api/auth/me", str(RefreshToken.for_user(alice))).status_code == 401


def test_an_expired_token_says_so(alice: User) -> None:
    token = AccessToken.for_user(alice)
    token.set_exp(lifetime=timedelta(seconds=-1))
    response = get("/api/auth/me", str(token))
    assert (response.status_code, response.json()["error"]["code"]) == (401, "token_expired")


def test_a_token_of_another_algorithm_is_refused(alice: User, settings: Any) -> None:
    import jwt

    claims = AccessToken.for_user(alice).payload
    for forged in (jwt.encode(claims, "", algorithm="none"), jwt.encode(claims, settings.SECRET_KEY, "HS512")):
        assert get("/api/auth/me", forged).status_code == 401


def test_a_key_is_shown_once_and_kept_as_prefix_and_hash(alice: User) -> None:
    token = str(AccessToken.for_user(alice))
    made = post("keys", {"name": "laptop"}, token)
    assert made.status_code == 201
    key = made.json()["key"]
    assert key.startswith("iaf_")
    row = ApiKey.objects.get()
    assert (row.prefix, row.name) == (key[:12], "laptop")
    assert key not in str(row.__dict__)
    listed = Client().get("/api/auth/keys", headers={"Authorization": f"Bearer {token}"}).json()
    assert [entry["prefix"] for entry in listed] == [key[:12]]
    assert "key" not in listed[0]
    assert get("/api/auth/me", key).json()["email"] == alice.email
    assert ApiKey.objects.get().last_used_at is not None


def test_a_revoked_key_is_refused(alice: User) -> None:
    token, key = str(AccessToken.for_user(alice)), key_of(alice)
    assert get("/api/auth/me", key).status_code == 200
    path = f"/api/auth/keys/{ApiKey.objects.get().pk}"
    assert Client().delete(path, headers={"Authorization": f"Bearer {token}"}).status_code == 204
    assert get("/api/auth/me", key).status_code == 401
    assert Client().delete(path, headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_nobody_revokes_anothers_key(alice: User, bob: User) -> None:
    key_of(alice)
    path = f"/api/auth/keys/{ApiKey.objects.get().pk}"
    bobs = str(AccessToken.for_user(bob))
    assert Client().delete(path, headers={"Authorization": f"Bearer {bobs}"}).status_code == 404
    assert ApiKey.objects.get().revoked_at is None


def test_a_key_makes_no_keys(alice: User) -> None:
    assert post("keys", {"name": "more"}, key_of(alice)).status_code == 403


def test_a_key_of_another_pepper_is_refused(alice: User, settings: Any) -> None:
    key = key_of(alice)
    settings.API_KEY_PEPPER = "another"
    assert get("/api/auth/me", key).status_code == 401


def test_a_subscription_that_ended_a_second_ago_is_free(bob: User) -> None:
    UserTier.objects.update(expires_at=timezone.now() + timedelta(seconds=60))
    token = str(AccessToken.for_user(bob))
    assert get("/api/auth/me", token).json()["tier"] == "student"
    UserTier.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    from billing.entitlements import forget_standings

    forget_standings()
    assert get("/api/auth/me", token).json()["tier"] == "free"


def test_logins_are_limited_by_address(alice: User, settings: Any) -> None:
    settings.LOGIN_LIMIT = "3/h"
    statuses = [post("login", {"email": f"{n}@example.dz", "password": "x"}).status_code for n in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_logins_are_limited_by_account(alice: User, settings: Any) -> None:
    """One address does not lock its owner out; many addresses do not guess for ever."""
    settings.LOGIN_LIMIT = "3/h"
    settings.TRUSTED_PROXIES = ("127.0.0.0/8",)

    def guess(place: int, password: str = "x") -> int:
        who = {"email": alice.email, "password": password}
        return int(post("login", who, **{"X-Forwarded-For": f"10.0.0.{place}"}).status_code)

    assert [guess(1) for _ in range(4)] == [401, 401, 401, 429]
    assert guess(2, "correct horse battery") == 200
    assert [guess(place) for place in range(3, 3 + 3 * ADDRESSES_PER_ACCOUNT)][-5:] == [401, 429, 429, 429, 429]


def test_making_and_revoking_keys_is_limited_by_account_and_by_address(
    alice: User, bob: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.views.KEYS_LIMIT", "2/h")
    settings.TRUSTED_PROXIES = ("127.0.0.0/8",)
    mine, theirs = str(AccessToken.for_user(alice)), str(AccessToken.for_user(bob))
    there = [{"X-Forwarded-For": f"10.0.0.{number}"} for number in range(4)]
    assert [post("keys", {"name": "x"}, mine, **where).status_code for where in there[:3]] == [201, 201, 429]
    # From the first address one attempt is counted, whoever makes it.
    assert post("keys", {"name": "x"}, theirs, **there[0]).status_code == 201
    key_id = ApiKey.objects.get(user=bob).pk
    gone = Client().delete(f"/api/auth/keys/{key_id}", headers={"Authorization": f"Bearer {theirs}", **there[0]})
    assert (gone.status_code, gone.json()["error"]["code"]) == (429, "rate_limited")
    assert int(gone["Retry-After"]) > 0


def test_sign_ups_are_limited_by_address(settings: Any) -> None:
    settings.SIGNUP_LIMIT = "2/h"
    responses = [post("register", {"email": f"{n}@example.dz", "password": "correct horse battery"}) for n in range(3)]
    assert [response.status_code for response in responses] == [201, 201, 429]
    assert int(responses[2]["Retry-After"]) > 0


def test_free_accounts_of_one_address_a_day(settings: Any) -> None:
    settings.FREE_ACCOUNTS_PER_ADDRESS = 2
    statuses = [
        post("register", {"email": f"{n}@example.dz", "password": "correct horse battery"}).status_code
        for n in range(3)
    ]
    assert statuses == [201, 201, 429]


def test_a_forwarded_address_counts_only_from_a_trusted_proxy(rf: Any, settings: Any) -> None:
    request = rf.get("/", HTTP_X_FORWARDED_FOR="6.6.6.6, 10.0.0.9", REMOTE_ADDR="127.0.0.1")
    assert client_address(request) == "127.0.0.1"
    settings.TRUSTED_PROXIES = ("127.0.0.1", "10.0.0.0/8")
    assert client_address(request) == "6.6.6.6"


def test_an_ipv4_address_in_ipv6s_clothes_is_itself(rf: Any, settings: Any) -> None:
    settings.TRUSTED_PROXIES = ("10.0.0.0/8",)
    request = rf.get("/", HTTP_X_FORWARDED_FOR="::ffff:105.1.2.3", REMOTE_ADDR="::ffff:10.0.0.9")
    assert client_address(request) == "105.1.2.3"


@pytest.mark.parametrize(
    ("language", "start"), [("", "Ces identifiants"), ("ar", "بيانات"), ("en-GB,en;q=0.8", "These credentials")]
)
def test_errors_speak_the_callers_language(db: None, language: str, start: str) -> None:
    headers = {"Accept-Language": language} if language else {}
    response = post("login", {"email": "nobody@example.dz", "password": "wrong"}, **headers)
    assert response.json()["error"]["message"].startswith(start)
