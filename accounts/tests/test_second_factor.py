"""Staff's second factor over the API and in the admin: without it, where it is needed, nothing of staff's opens."""

import re
import time
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import path
from django_otp.oath import TOTP
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken

from accounts import second_factor
from accounts.authentication import authenticate, forget_callers
from accounts.models import RecoveryCode, SecondFactor, StaffAction, User
from accounts.permissions import Staff
from conftest import key_of
from tests.authenticator import code_from
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
PAGE = "/admin/second-factor"


class StaffOnly(APIView):
    permission_classes = (Staff,)

    def get(self, request: Request) -> Response:
        return Response({})


urlpatterns = [path("staff-only", StaffOnly.as_view())]


@pytest.fixture
def required(settings: Any) -> None:
    settings.STAFF_2FA = "required"


def code_of(user: User, *, steps: int = 0) -> str:
    factor = SecondFactor.objects.get(user=user)
    totp = TOTP(second_factor.secret_of(factor))
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06d}"


def code_shown(browser: Client) -> str:
    return code_from(browser.get(PAGE).content.decode())


def enrol(user: User) -> None:
    SecondFactor.objects.create(user=user, salt="salt", confirmed_at="2026-01-01T00:00Z")


def log_in(user: User, **more: str) -> Any:
    body = {"email": user.email, "password": PASSWORD, **more}
    return Client().post("/api/auth/login", body, content_type="application/json")


def what(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def opens(token: str, settings: Any) -> int:
    settings.ROOT_URLCONF = __name__
    forget_callers()
    try:
        return Client().get("/staff-only", headers={"Authorization": f"Bearer {token}"}).status_code
    finally:
        settings.ROOT_URLCONF = "iafactory.urls"


# Over the API


def test_where_it_is_optional_a_password_is_enough(sara: User, settings: Any) -> None:
    assert opens(log_in(sara).json()["access_token"], settings) == 200


def test_whoever_set_it_up_is_asked_for_it(sara: User, settings: Any) -> None:
    enrol(sara)
    assert what(log_in(sara)) == (401, "otp_required")
    assert what(log_in(sara, otp="000000")) == (401, "invalid_otp")
    passed = log_in(sara, otp=code_of(sara))
    assert passed.status_code == 200
    assert opens(passed.json()["access_token"], settings) == 200


def test_where_it_is_required_a_password_alone_gives_no_jwt(required: None, sara: User) -> None:
    assert what(log_in(sara)) == (403, "otp_not_set_up")
    enrol(sara)
    assert what(log_in(sara)) == (401, "otp_required")


def test_a_wrong_password_says_nothing_of_a_second_factor(required: None, sara: User) -> None:
    enrol(sara)
    body = {"email": sara.email, "password": "wrong", "otp": code_of(sara)}
    wrong = Client().post("/api/auth/login", body, content_type="application/json")
    assert what(wrong) == (401, "invalid_credentials")


def test_customers_are_not_asked(required: None, alice: User) -> None:
    assert log_in(alice).status_code == 200


def test_a_jwt_of_the_time_before_opens_no_staff_route(sara: User, settings: Any) -> None:
    token = str(AccessToken.for_user(sara))
    assert opens(token, settings) == 200
    settings.STAFF_2FA = "required"
    assert opens(token, settings) == 403


def test_an_api_key_opens_no_staff_route(sara: User, settings: Any) -> None:
    assert opens(key_of(sara), settings) == 403


def test_a_customers_jwt_opens_no_staff_route(alice: User, settings: Any) -> None:
    assert opens(str(AccessToken.for_user(alice)), settings) == 403


def test_a_customers_jwt_does_not_grow_with_the_account(required: None, alice: User) -> None:
    token = log_in(alice).json()["access_token"]
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    forget_callers()
    assert not authenticate(f"Bearer {token}").acts_as_staff


def test_a_refresh_carries_the_second_factor(required: None, sara: User, settings: Any) -> None:
    enrol(sara)
    refresh = log_in(sara, otp=code_of(sara)).json()["refresh_token"]
    body = {"refresh_token": refresh}
    token = Client().post("/api/auth/refresh", body, content_type="application/json").json()["access_token"]
    assert opens(token, settings) == 200


def test_a_code_is_accepted_once(sara: User) -> None:
    enrol(sara)
    code = code_of(sara)
    assert log_in(sara, otp=code).status_code == 200
    assert what(log_in(sara, otp=code)) == (401, "invalid_otp")


@pytest.mark.django_db(transaction=True)
def test_of_eight_logins_at_once_with_one_code_one_succeeds(sara: User) -> None:
    enrol(sara)
    code = code_of(sara)
    answers, _raised = at_once(8, lambda: log_in(sara, otp=code))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


def test_an_older_code_than_the_last_is_refused(sara: User) -> None:
    enrol(sara)
    assert log_in(sara, otp=code_of(sara, steps=1)).status_code == 200
    assert log_in(sara, otp=code_of(sara)).status_code == 401


@pytest.mark.parametrize("steps", [-3, 3])
def test_a_code_of_another_time_is_refused(sara: User, steps: int) -> None:
    enrol(sara)
    assert log_in(sara, otp=code_of(sara, steps=steps)).status_code == 401


@pytest.mark.parametrize("code", ["", "12345", "1234567", "٠١٢٣٤٥", "abcdef", "-00001"])
def test_what_is_no_code(sara: User, code: str) -> None:
    enrol(sara)
    assert log_in(sara, otp=code).status_code == 401


def test_guesses_are_limited(sara: User, settings: Any) -> None:
    settings.LOGIN_LIMIT = "1000/m"
    enrol(sara)
    statuses = [log_in(sara, otp="000000").status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    # The right one would not help now.
    assert log_in(sara, otp=code_of(sara)).status_code == 429


# In the browser


def staff_browser(user: User) -> Client:
    browser = Client()
    answer = browser.post("/admin/login/?next=/admin/", {"username": user.email, "password": PASSWORD})
    assert answer.status_code == 302
    return browser


def pages_shown(browser: Client) -> list[int]:
    return [
        browser.get(page).status_code
        for page in ("/admin/accounts/softban/", "/admin/accounts/user/", "/admin/password_change/")
    ]


def test_the_password_alone_opens_no_page(required: None, sara: User) -> None:
    enrol(sara)
    browser = staff_browser(sara)
    assert pages_shown(browser) == [302] * 3
    assert browser.get("/admin/accounts/user/").headers["Location"] == f"{PAGE}?next=%2Fadmin%2Faccounts%2Fuser%2F"
    before = browser.session.session_key
    passed = browser.post(f"{PAGE}?next=/admin/accounts/user/", {"code": code_of(sara)})
    assert (passed.status_code, passed.headers["Location"]) == (302, "/admin/accounts/user/")
    assert pages_shown(browser) == [200] * 3
    assert browser.session.session_key != before


def test_a_customers_login_page_is_no_way_round(required: None, sara: User) -> None:
    enrol(sara)
    browser = Client()
    browser.force_login(sara)
    assert pages_shown(browser) == [302] * 3


def test_whoever_has_none_is_led_to_set_it_up(required: None, sara: User) -> None:
    browser = staff_browser(sara)
    assert browser.get("/admin/", follow=True).redirect_chain == [(f"{PAGE}?next=%2Fadmin%2F", 302)]
    page = browser.get(PAGE).content.decode()
    assert "<svg" in page
    assert browser.post(PAGE, {"code": "000000"}).status_code == 400
    assert pages_shown(browser) == [302] * 3
    done = browser.post(PAGE, {"code": code_shown(browser)})
    codes = re.findall(r"<li><code>(\w{5}-\w{5})</code>", done.content.decode())
    assert len(set(codes)) == 10
    assert pages_shown(browser) == [200] * 3
    assert codes[0] not in browser.get(PAGE).content.decode()
    assert not any(code.replace("-", "") in str(row.__dict__) for row in RecoveryCode.objects.all() for code in codes)
    # A recovery code in the place of the app's, once.
    other = staff_browser(sara)
    assert other.post(PAGE, {"code": codes[3].upper()}).status_code == 302
    assert pages_shown(other) == [200] * 3
    assert staff_browser(sara).post(PAGE, {"code": codes[3]}).status_code == 400
    assert RecoveryCode.objects.count() == 9


def test_the_set_up_key_is_not_shown_again(sara: User) -> None:
    enrol(sara)
    browser = staff_browser(sara)
    assert "<svg" not in browser.get(PAGE).content.decode()
    browser.post(PAGE, {"code": code_of(sara)})
    assert "<svg" not in browser.get(PAGE).content.decode()


def test_what_another_session_was_shown_is_worth_nothing(required: None, sara: User) -> None:
    """Somebody had the password before she set it up, and looked."""
    somebody, browser = staff_browser(sara), staff_browser(sara)
    seen = code_shown(somebody)
    assert browser.post(PAGE, {"code": seen}).status_code == 400
    assert not SecondFactor.objects.exists()
    assert browser.post(PAGE, {"code": code_shown(browser)}).status_code == 200
    for there in (somebody, staff_browser(sara)):
        assert there.post(PAGE, {"code": seen}).status_code == 400
        assert pages_shown(there) == [302] * 3


@pytest.mark.django_db(transaction=True)
def test_of_four_sessions_that_set_it_up_at_once_one_does(sara: User) -> None:
    browsers = [staff_browser(sara) for _ in range(4)]
    ready = iter([(browser, code_shown(browser)) for browser in browsers])

    def confirm() -> int:
        browser, code = next(ready)
        return browser.post(PAGE, {"code": code}).status_code

    statuses, raised = at_once(4, confirm)
    assert (sorted(statuses), raised) == ([200, 400, 400, 400], [])
    assert (SecondFactor.objects.count(), RecoveryCode.objects.count()) == (1, 10)


def test_set_up_ends_the_logins_of_the_time_before(sara: User) -> None:
    refresh = log_in(sara).json()["refresh_token"]
    browser = staff_browser(sara)
    assert browser.post(PAGE, {"code": code_shown(browser)}).status_code == 200
    body = {"refresh_token": refresh}
    assert Client().post("/api/auth/refresh", body, content_type="application/json").status_code == 401


def test_new_recovery_codes_replace_the_old(sara: User) -> None:
    enrol(sara)
    browser = staff_browser(sara)
    browser.post(PAGE, {"code": code_of(sara)})
    assert browser.post(PAGE, {"code": "000000"}).status_code == 400
    assert browser.post(PAGE, {"code": code_of(sara, steps=1)}).status_code == 200
    assert RecoveryCode.objects.count() == 10


def test_guesses_in_the_browser_are_limited(required: None, sara: User) -> None:
    enrol(sara)
    browser = staff_browser(sara)
    for _ in range(10):
        browser.post(PAGE, {"code": "000000"})
    assert browser.post(PAGE, {"code": code_of(sara)}).status_code == 400
    assert pages_shown(browser) == [302] * 3


@pytest.mark.parametrize("there", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_the_way_on_is_ours(sara: User, there: str) -> None:
    enrol(sara)
    browser = staff_browser(sara)
    passed = browser.post(f"{PAGE}?next={there}", {"code": code_of(sara)})
    assert passed.headers["Location"] == "/admin/"


def test_customers_see_no_set_up(alice: User) -> None:
    browser = Client()
    browser.force_login(alice)
    assert browser.get(PAGE).headers["Location"].startswith("/admin/login/")
    assert browser.session.get(SESSION_KEY)
    assert not SecondFactor.objects.exists()


# Lost


def test_an_operator_resets_it(required: None, sara: User, capsys: Any) -> None:
    enrol(sara)
    browser = staff_browser(sara)
    browser.post(PAGE, {"code": code_of(sara)})
    assert pages_shown(browser) == [200] * 3
    call_command("reset_second_factor", "SARA@example.dz", by="karim")
    assert "is forgotten" in capsys.readouterr().out
    # The session that was open has to set it up anew as well.
    assert pages_shown(browser) == [302] * 3
    action = StaffAction.objects.get(action="second_factor.reset")
    assert (action.actor_name, action.subject, action.details) == ("karim", f"user {sara.pk}", {"was_set_up": True})
    with pytest.raises(CommandError):
        call_command("reset_second_factor", "nobody@example.dz")


def test_a_stolen_table_gives_no_codes(sara: User, settings: Any) -> None:
    enrol(sara)
    code = code_of(sara)
    settings.API_SECRET_KEY = "another secret of fifty characters, as it should be"
    assert code_of(sara) != code
