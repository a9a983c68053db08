"""Nobody learns by guessing: not who has an account, not a password, not a key, not how to forge a token."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.utils.module_loading import import_string
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts import authentication, hashers
from accounts.models import ApiKey, User
from conftest import key_of
from iafactory.settings import PASSWORD_HASHERS

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def post(path: str, body: Any) -> Any:
    return Client().post(f"/api/auth/{path}", body, content_type="application/json")


def me(token: str) -> int:
    authentication.forget_callers()
    return Client().get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code


@pytest.fixture
def hashes(monkeypatch: Any) -> list[str]:
    """One entry for each computation of a hash, which is all the time that a login takes."""
    done: list[str] = []
    real = hashers.off_the_loop

    def counted(function: Any, *args: Any, **kwargs: Any) -> Any:
        done.append(function.__name__)
        return real(function, *args, **kwargs)

    monkeypatch.setattr(hashers, "off_the_loop", counted)
    return done


@pytest.mark.parametrize("email", ["alice@example.dz", "nobody@example.dz", "gone@example.dz"])
def test_a_failed_login_costs_one_hash_whoever_it_is(alice: User, hashes: list[str], email: str) -> None:
    User.objects.create_user("gone@example.dz", PASSWORD, is_active=False)
    hashes.clear()
    answer = post("login", {"email": email, "password": "wrong" if email.startswith("alice") else PASSWORD})
    assert (answer.status_code, answer.json()["error"]["code"], len(hashes)) == (401, "invalid_credentials", 1)


def test_argon2_at_19_mib() -> None:
    (shipped,) = PASSWORD_HASHERS
    assert make_password("x", hasher=import_string(shipped)()).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_hashing_is_off_the_loop_where_gevent_rules(monkeypatch: Any) -> None:
    used: list[Any] = []

    class Pool:
        def apply(self, function: Any, args: Any, kwargs: Any) -> Any:
            used.append(function)
            return function(*args, **kwargs)

    class Hub:
        threadpool = Pool()

    monkeypatch.setattr(hashers, "is_module_patched", lambda name: True)
    monkeypatch.setattr(hashers, "get_hub", Hub)
    User.objects.create_user("x@example.dz", PASSWORD).check_password(PASSWORD)
    assert len(used) == 2


# Forged tokens


def forged(claims: dict[str, Any], key: Any, algorithm: str, **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers or None)


def test_no_other_algorithm_or_key(alice: User, settings: Any) -> None:
    claims, key = AccessToken.for_user(alice).payload, settings.API_SECRET_KEY
    assert me(forged(claims, key, "HS256")) == 200
    for token in (
        forged(claims, "", "none"),
        forged(claims, key, "HS384"),
        forged(claims, key, "HS512"),
        forged(claims, "another secret of fifty characters, as it should be", "HS256"),
        forged(claims, settings.API_KEY_PEPPER, "HS256"),
    ):
        assert me(token) == 401


def test_an_algorithm_named_in_another_case_is_none_too(alice: User) -> None:
    claims = AccessToken.for_user(alice).payload
    parts = [{"alg": "nOnE", "typ": "JWT"}, claims]
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    assert me(f"{head}.{body}.") == 401


def test_a_public_key_is_no_secret(alice: User, settings: Any) -> None:
    """RS256 confusion: a token that says RS256 is not verified with our secret as if it were a public key."""
    claims = AccessToken.for_user(alice).payload
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    mac = hmac.digest(settings.API_SECRET_KEY.encode(), head + b"." + body, "sha256")
    signature = base64.urlsafe_b64encode(mac).rstrip(b"=")
    assert me(b".".join((head, body, signature)).decode()) == 401


def test_a_header_names_no_key_of_its_own(alice: User) -> None:
    claims = AccessToken.for_user(alice).payload
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(b"evil" * 8).decode()}
    assert me(forged(claims, b"evil" * 8, "HS256", jwk=jwk, kid="/dev/null", jku="https://evil.example/keys")) == 401


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": "1 OR 1=1"},
        {"user_id": None},
        {"user_id": "999999"},
        {"token_type": "refresh"},
        {"token_type": "sliding"},
        {"exp": 1},
        {"hash_password": ""},
        {"hash_password": "0" * 32},
    ],
)
def test_claims_that_do_not_hold(alice: User, settings: Any, change: dict[str, Any]) -> None:
    assert me(forged({**AccessToken.for_user(alice).payload, **change}, settings.API_SECRET_KEY, "HS256")) == 401


@pytest.mark.parametrize("missing", ["user_id", "exp", "token_type", "jti", "hash_password"])
def test_claims_that_are_missing(alice: User, settings: Any, missing: str) -> None:
    claims = {name: value for name, value in AccessToken.for_user(alice).payload.items() if name != missing}
    assert me(forged(claims, settings.API_SECRET_KEY, "HS256")) == 401


def test_a_session_or_other_signed_value_is_no_token(alice: User, settings: Any) -> None:
    claims = {"user_id": str(alice.pk), "exp": int(time.time()) + 60}
    assert me(forged(claims, settings.API_SECRET_KEY, "HS256")) == 401


# A changed password


def test_a_new_password_ends_every_token_and_session(alice: User) -> None:
    access, refresh = str(AccessToken.for_user(alice)), str(RefreshToken.for_user(alice))
    browser = Client()
    browser.force_login(alice)
    assert me(access) == 200
    alice.set_password("staple battery horse")
    alice.save()
    assert me(access) == 401
    assert post("refresh", {"refresh_token": refresh}).status_code == 401
    assert not browser.get("/admin/login/").wsgi_request.user.is_authenticated


def test_a_session_gets_a_new_name_at_login(sara: User) -> None:
    browser = Client()
    browser.get("/admin/login/")
    session = browser.session
    session["planted"] = True
    session.save()
    browser.cookies["sessionid"] = session.session_key or ""
    browser.post("/admin/login/", {"username": sara.email, "password": PASSWORD})
    assert browser.session.session_key != session.session_key


# Keys


def test_a_key_is_looked_up_by_its_hash_alone(alice: User, django_assert_max_num_queries: Any) -> None:
    """Never compared with, nor searched by, its text: what the time of a look-up tells is about a keyed hash."""
    key = key_of(alice)
    row = ApiKey.objects.get()
    assert me(key) == 200
    for wrong in (key[:-1], key[:-1] + ("a" if key[-1] != "a" else "b"), key.upper(), row.digest, row.prefix, "iaf_"):
        assert me(wrong) == 401


def test_no_mass_assignment(alice: User) -> None:
    body = {
        "email": "eve@example.dz",
        "password": PASSWORD,
        "id": alice.pk,
        "pk": alice.pk,
        "is_staff": True,
        "is_superuser": True,
        "is_active": False,
        "tier": "enterprise",
        "user_permissions": [1],
        "language": "xx",
        "date_joined": "2000-01-01",
    }
    made = post("register", body)
    assert made.status_code == 201
    eve = User.objects.get(email="eve@example.dz")
    assert (eve.is_staff, eve.is_superuser, eve.is_active, eve.language) == (False, False, True, "fr")
    assert eve.pk != alice.pk
    token = made.json()["access_token"]
    answer = Client().get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert (answer["tier"], answer["is_staff"]) == ("free", False)
    headers = {"Authorization": f"Bearer {token}"}
    key = {
        "name": "x",
        "user": alice.pk,
        "user_id": alice.pk,
        "digest": "0" * 64,
        "prefix": "iaf_mine",
        "key": "iaf_mine",
    }
    client = Client(headers=headers)
    assert client.post("/api/auth/keys", key, content_type="application/json").status_code == 201
    row = ApiKey.objects.get()
    assert (row.user_id, row.prefix != "iaf_mine", row.digest != "0" * 64) == (eve.pk, True, True)
