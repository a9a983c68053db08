"""What staff do leaves a trail that nobody changes, and that stays when the account of whoever did it goes."""

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from accounts import audit
from accounts.models import ApiKey, StaffAction, User
from conftest import key_of, person
from iafactory.site import Audited
from usage.bans import lift_ban, soft_ban

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(sara: User) -> Client:
    browser = Client()
    browser.force_login(sara)
    return browser


def trail() -> list[tuple[str, str, str]]:
    return [(row.actor_name, row.action, row.subject) for row in StaffAction.objects.order_by("id")]


def test_whatever_the_admin_edits_is_recorded() -> None:
    assert admin.site._registry
    assert [model for model, site in admin.site._registry.items() if not isinstance(site, Audited)] == []


def test_a_change_in_the_admin(staff: Client, sara: User) -> None:
    page = "/admin/billing/tier/pro/change/"
    shown = staff.get(page).context["adminform"].form
    form = {name: shown.get_initial_for_field(field, name) for name, field in shown.fields.items()}
    form = {name: value for name, value in form.items() if value is not None and value is not False} | {
        "messages_per_day": 401
    }
    response = staff.post(page, form, headers={"X-Forwarded-For": "6.6.6.6"})
    assert response.status_code == 302, response.context["errors"]
    action = StaffAction.objects.get()
    assert (action.actor, action.action, action.subject, action.address) == (
        sara,
        "admin.changed",
        "tier pro",
        "127.0.0.1",
    )
    assert action.request_id == response.headers["X-Request-ID"]
    assert "401" not in str(action.details)


def test_a_soft_ban_and_its_end(sara: User, alice: User) -> None:
    soft_ban(user=alice, reason="farming", by=sara)
    lift_ban(user=alice, by=sara)
    lift_ban(user=alice, by=sara)
    assert trail() == [
        (sara.email, "ban.set", f"user {alice.pk}"),
        (sara.email, "ban.lifted", f"user {alice.pk}"),
    ]


def test_keys_revoked_by_staff(staff: Client, sara: User, alice: User, bob: User) -> None:
    keys = [key_of(alice), key_of(alice), key_of(bob)]
    form = {"action": "revoke_api_keys", "_selected_action": [alice.pk]}
    assert staff.post("/admin/accounts/user/", form).status_code == 302
    assert trail() == [(sara.email, "keys.revoked", f"user {alice.pk}")]
    assert StaffAction.objects.get().details == {"keys": 2}
    assert list(ApiKey.objects.in_force().values_list("user", flat=True)) == [bob.pk]
    assert keys[0] not in str(StaffAction.objects.values())


def test_a_new_password_is_not_in_the_trail(staff: Client, alice: User) -> None:
    form = {"password1": "staple battery horse", "password2": "staple battery horse", "usable_password": "true"}
    assert staff.post(f"/admin/accounts/user/{alice.pk}/password/", form).status_code == 302
    assert StaffAction.objects.get().action == "admin.changed"
    assert "staple" not in str(list(StaffAction.objects.values()))


def test_the_login_of_staff(sara: User) -> None:
    form = {"username": sara.email, "password": "correct horse battery"}
    assert Client().post("/admin/login/", form).status_code == 302
    assert trail() == [(sara.email, "login.password", f"user {sara.pk}")]


def test_the_trail_stays_when_its_author_goes(sara: User) -> None:
    audit.record("payment.refunded", by=sara, subject="payment 12")
    sara.delete()
    assert trail() == [("sara@example.dz", "payment.refunded", "payment 12")]


def test_it_goes_with_what_was_not_done(sara: User, alice: User, monkeypatch: Any) -> None:
    from usage import bans
    from usage.errors import RedisAway

    def away(*args: Any) -> None:
        raise RedisAway

    monkeypatch.setattr(bans, "_tell_redis", away)
    with pytest.raises(RedisAway):
        soft_ban(user=alice, reason="farming", by=sara)
    assert trail() == []


def test_nobody_writes_it_by_hand(staff: Client, sara: User) -> None:
    row = audit.record("ban.set", by=sara, subject="user 7")
    assert "ban.set" in staff.get("/admin/accounts/staffaction/").content.decode()
    assert staff.get("/admin/accounts/staffaction/add/").status_code == 403
    assert staff.post(f"/admin/accounts/staffaction/{row.pk}/change/", {"action": "x"}).status_code == 403
    assert staff.post(f"/admin/accounts/staffaction/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_staff_who_may_not_do_all_reset_no_second_factor(alice: User) -> None:
    from django.contrib.auth.models import Permission

    helper = person("helper@example.dz", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    browser = Client()
    browser.force_login(helper)
    browser.post("/admin/accounts/user/", {"action": "reset_second_factors", "_selected_action": [alice.pk]})
    assert trail() == []
