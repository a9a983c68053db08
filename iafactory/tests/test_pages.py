"""The pages that people see: the front page, the door, the account. Through Django's client, CSRF checks on."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, User
from billing.models import Tier, UserTier
from conftest import key_of
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db

GOOD = {"email": "Alice@Example.dz", "password": "correct horse battery"}


def visitor(language: str = "en") -> Client:
    return Client(enforce_csrf_checks=True, headers={"Accept": "text/html", "Accept-Language": language})


def post(client: Client, path: str, form: dict[str, Any] | None = None, page: str = "/") -> Any:
    """Fill in the form of a page, with its CSRF token."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).content.decode())
    assert token is not None
    return client.post(path, {"csrfmiddlewaretoken": token[1], **(form or {})})


def signed_in(user: User, language: str = "en") -> Client:
    client = visitor(language)
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("language", "direction", "word"), [("", "ltr", "Tarifs"), ("ar", "rtl", "الأسعار"), ("en", "ltr", "Prices")]
)
def test_the_front_page_speaks_the_visitors_language(language: str, direction: str, word: str) -> None:
    page = visitor(language).get("/")
    text = page.content.decode()
    assert page.status_code == 200
    assert f'dir="{direction}"' in text
    assert word in text


def test_prices_come_from_the_table_of_tiers() -> None:
    assert "1\u00a0590\u00a0DA" in visitor().get("/").content.decode()
    Tier.objects.filter(name="student").update(price_dzd=1234)
    text = visitor().get("/").content.decode()
    assert "1\u00a0234\u00a0DA" in text
    assert "1\u00a0590" not in text


@pytest.mark.parametrize(
    "path", ["/", "/sign-in", "/sign-up", "/account", "/payment/success", "/payment/failure?checkout_id=null"]
)
def test_no_page_has_inline_style_or_script_or_a_foreign_address(path: str, alice: User) -> None:
    text = signed_in(alice).get(path, follow=True).content.decode() + visitor().get(path, follow=True).content.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


def test_sign_up_signs_in_and_remembers_the_language() -> None:
    client = visitor("ar")
    answer = post(client, "/sign-up", GOOD, page="/sign-up")
    assert (answer.status_code, answer.url) == (302, "/account")
    user = User.objects.get()
    assert (user.email, user.language) == ("alice@example.dz", "ar")
    assert user.email in client.get("/account").content.decode()


@pytest.mark.parametrize(
    "form",
    [
        {**GOOD, "password": "password"},
        {**GOOD, "password": "alice@example.dz"},
        {**GOOD, "password": "x" * 300},
        {**GOOD, "email": "no address"},
        {"email": GOOD["email"]},
        {},
    ],
)
def test_what_cannot_sign_up(form: dict[str, str]) -> None:
    answer = post(visitor(), "/sign-up", form, page="/sign-up")
    assert answer.status_code == 400
    assert 'class="errorlist"' in answer.content.decode()
    assert not User.objects.exists()


def test_nobody_makes_himself_staff_by_the_form() -> None:
    post(visitor(), "/sign-up", {**GOOD, "is_staff": "on", "is_superuser": "on"}, page="/sign-up")
    assert not User.objects.get().is_staff


def test_a_taken_address_lets_its_owner_in_and_nobody_else(alice: User) -> None:
    refused = post(visitor(), "/sign-up", {"email": alice.email, "password": "another good one"}, page="/sign-up")
    assert refused.status_code == 400
    assert "already" in refused.content.decode()
    client = visitor()
    assert (
        post(client, "/sign-up", {"email": alice.email, "password": "correct horse battery"}, page="/sign-up").url
        == "/account"
    )
    assert client.get("/account").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_four_sign_ups_at_once_one_makes_the_account() -> None:
    answers, _raised = at_once(4, lambda: post(visitor(), "/sign-up", GOOD, page="/sign-up").status_code)
    assert User.objects.count() == 1
    # The others had the right password too: all are let in.
    assert answers == [302] * 4


def test_a_wrong_password_and_an_unknown_address_look_alike(alice: User) -> None:
    pages = []
    for email in (alice.email, "nobody@example.dz"):
        answer = post(visitor(), "/sign-in", {"email": email, "password": "wrong"}, page="/sign-in")
        text = answer.content.decode().replace(email, "…")
        pages.append((answer.status_code, re.sub(r'value="\w{64}"', "", text)))
    assert pages[0] == pages[1]
    assert pages[0][0] == 400


def test_sign_in_and_out(alice: User) -> None:
    client = visitor()
    assert client.get("/account")["Location"] == "/sign-in?next=/account"
    before = client.session.session_key
    answer = post(client, "/sign-in", {**GOOD, "next": "/account/buy/student"}, page="/sign-in")
    assert answer.url == "/account/buy/student"
    assert client.session.session_key != before
    assert client.cookies["django_language"].value == "fr"
    assert post(client, "/sign-out").url == "/"
    assert client.get("/account").status_code == 302


@pytest.mark.parametrize(
    "address", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"]
)
def test_nobody_is_led_to_another_site_after_signing_in(alice: User, address: str) -> None:
    assert post(visitor(), "/sign-in", {**GOOD, "next": address}, page="/sign-in").url == "/account"


def test_the_door_has_the_limits_of_the_api(alice: User, settings: Any) -> None:
    settings.LOGIN_LIMIT = "2/m"
    settings.SIGNUP_LIMIT = "1/h"
    wrong = {"email": alice.email, "password": "wrong"}
    api = Client().post("/api/auth/login", wrong, content_type="application/json")
    answers = [post(visitor(), "/sign-in", wrong, page="/sign-in") for _ in range(2)]
    assert [api.status_code, *(answer.status_code for answer in answers)] == [401, 400, 429]
    assert int(answers[-1]["Retry-After"]) > 0
    signups = [post(visitor(), "/sign-up", {}, page="/sign-up").status_code for _ in range(2)]
    assert signups == [400, 429]


def test_free_accounts_of_one_address_a_day(settings: Any) -> None:
    settings.FREE_ACCOUNTS_PER_ADDRESS = 1
    forms = [{**GOOD, "email": f"{n}@example.dz"} for n in range(2)]
    assert [post(visitor(), "/sign-up", form, page="/sign-up").status_code for form in forms] == [302, 429]


@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-up", "/sign-out", "/language", "/account/keys", "/account/reminders/cancel"]
)
def test_a_form_from_elsewhere_is_refused(path: str, alice: User) -> None:
    client = signed_in(alice) if path.startswith("/account") else visitor()
    assert client.post(path, GOOD).status_code == 403


def test_a_form_that_is_too_old_is_a_page_of_ours() -> None:
    text = visitor().post("/sign-in", GOOD).content.decode()
    assert "no longer good" in text
    assert not re.search(r"<style|\sstyle=", text)


def test_an_unknown_address_is_a_page_for_browsers_and_json_for_programs() -> None:
    page = Client(headers={"Accept": "text/html,*/*"})
    assert page.get("/nothing")["Content-Type"] == "text/html; charset=utf-8"
    assert page.get("/nothing").status_code == 404
    assert page.get("/api/nothing")["Content-Type"] == "application/json"
    assert Client().get("/nothing")["Content-Type"] == "application/json"


def test_staff_at_this_door_are_noted_like_at_their_own(sara: User) -> None:
    from accounts.models import StaffAction

    post(visitor(), "/sign-in", {"email": sara.email, "password": "correct horse battery"}, page="/sign-in")
    assert StaffAction.objects.filter(action="login.password").count() == 1


def test_staff_who_came_in_with_nowhere_to_go_get_somewhere(sara: User) -> None:
    client = Client()
    answer = client.post("/admin/login/", {"username": sara.email, "password": "correct horse battery"})
    assert client.get(answer["Location"], follow=True).status_code == 200


def test_a_staff_password_alone_opens_nothing_where_a_second_factor_is_required(sara: User, settings: Any) -> None:
    settings.STAFF_2FA = "required"
    client = visitor()
    post(client, "/sign-in", {"email": sara.email, "password": "correct horse battery"}, page="/sign-in")
    for path in ("/account", "/account/invoices/F-2026-000001", "/admin/"):
        assert client.get(path)["Location"].startswith("/admin/second-factor")


def test_choosing_a_language_is_remembered(alice: User) -> None:
    client = signed_in(alice)
    answer = post(client, "/language", {"language": "ar", "next": "/account"})
    assert answer.url == "/account"
    assert 'dir="rtl"' in client.get("/account").content.decode()
    alice.refresh_from_db()
    assert alice.language == "ar"
    post(client, "/language", {"language": "xx"})
    alice.refresh_from_db()
    assert alice.language == "ar"


def test_a_key_is_shown_once(alice: User) -> None:
    client = signed_in(alice)
    made = post(client, "/account/keys", {"name": "laptop"}, page="/account")
    key = re.search(r"iaf_\w{40}", made.content.decode())
    assert key is not None
    assert "no-store" in made["Cache-Control"]
    assert Client().get("/api/auth/me", headers={"Authorization": f"Bearer {key[0]}"}).status_code == 200
    again = client.get("/account").content.decode()
    assert key[0] not in again
    assert key[0][:12] in again


def test_a_key_is_revoked_by_its_owner_alone(alice: User, bob: User) -> None:
    key = key_of(alice)
    path = f"/account/keys/{ApiKey.objects.get().pk}/revoke"
    assert post(signed_in(bob), path).status_code == 404
    assert ApiKey.objects.get().revoked_at is None
    assert post(signed_in(alice), path).url == "/account"
    assert Client().get("/api/auth/me", headers={"Authorization": f"Bearer {key}"}).status_code == 401


def test_the_name_of_a_key_is_shown_as_it_is(alice: User) -> None:
    made = post(signed_in(alice), "/account/keys", {"name": "<script>alert(1)</script>"}, page="/account")
    assert "<script>alert" not in made.content.decode()


def test_the_reminders_can_be_stopped(bob: User) -> None:
    from datetime import timedelta

    from django.utils import timezone

    UserTier.objects.update(expires_at=timezone.now() + timedelta(days=5))
    client = signed_in(bob)
    assert "Stop the reminders" in client.get("/account").content.decode()
    assert post(client, "/account/reminders/cancel").url == "/account"
    assert UserTier.objects.get().auto_renew is False
    text = client.get("/account").content.decode()
    assert "Stop the reminders" not in text
    assert "Student" in text


def test_an_error_is_a_page(alice: User) -> None:
    answer = signed_in(alice).get("/account/invoices/F-2026-999999")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_the_account_does_without_the_counters(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from usage import standing
    from usage.errors import RedisAway

    def away(*_: Any) -> None:
        raise RedisAway

    monkeypatch.setattr(standing, "today", away)
    answer = signed_in(alice).get("/account")
    assert answer.status_code == 200
    assert "cannot be read right now" in answer.content.decode()
