"""Who may suspend whom: one rule, kept by each way in (the API, the dashboard, both lists of the admin)."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import SignUp, SoftBan, User
from conftest import person
from usage import bans
from usage.errors import MayNotSuspend
from usage.models import UsageLog

pytestmark = pytest.mark.django_db

RIGHTS = ("view_user", "change_user", "view_signup", "change_softban")
Way = Callable[[User, User], Any]


@pytest.fixture
def clerk(db: None) -> User:
    """Staff with the rights that the lists of the admin ask for, and no more than those."""
    clerk = person("clerk@example.dz", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=RIGHTS))
    return clerk


@pytest.fixture
def other_clerk(db: None) -> User:
    return person("other@example.dz", is_staff=True)


def session(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def api(by: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {AccessToken.for_user(by)}"})


def suspend_by_api(by: User, user: User) -> Any:
    path = f"/admin/users/{user.pk}/soft-ban"
    return api(by).post(path, {"reason": "x"}, content_type="application/json")


def suspend_by_api_with_a_session(by: User, user: User) -> Any:
    path = f"/admin/users/{user.pk}/soft-ban"
    return session(by).post(path, {"reason": "x"}, content_type="application/json")


def suspend_by_dashboard(by: User, user: User) -> Any:
    return session(by).post("/admin/dashboard/ban", {"user_id": user.pk, "reason": "x", "hours": 24})


def suspend_by_list_of_users(by: User, user: User) -> Any:
    chosen = {"action": "suspend", "_selected_action": [user.pk], "reason": "x", "hours": 24}
    return session(by).post("/admin/accounts/user/", chosen)


def suspend_by_sign_ups(by: User, user: User) -> Any:
    row, _ = SignUp.objects.get_or_create(user=user, defaults={"mailbox_digest": "m", "address_digest": "a"})
    chosen = {"action": "soft_ban_selected", "_selected_action": [row.pk]}
    return session(by).post("/admin/accounts/signup/", chosen)


def lift_by_api(by: User, user: User) -> Any:
    return api(by).delete(f"/admin/users/{user.pk}/soft-ban")


def lift_by_dashboard(by: User, user: User) -> Any:
    return session(by).post("/admin/dashboard/lift", {"user_id": user.pk})


def lift_by_list_of_users(by: User, user: User) -> Any:
    return session(by).post("/admin/accounts/user/", {"action": "lift", "_selected_action": [user.pk]})


SUSPENDING = pytest.mark.parametrize(
    "suspend",
    [
        suspend_by_api,
        suspend_by_api_with_a_session,
        suspend_by_dashboard,
        suspend_by_list_of_users,
        suspend_by_sign_ups,
    ],
)
LIFTING = pytest.mark.parametrize("lift", [lift_by_api, lift_by_dashboard, lift_by_list_of_users])


@SUSPENDING
def test_staff_suspend_a_customer(suspend: Way, clerk: User, alice: User) -> None:
    suspend(clerk, alice)
    assert SoftBan.objects.get().user == alice


@SUSPENDING
def test_staff_suspend_no_superuser(suspend: Way, clerk: User, sara: User) -> None:
    assert suspend(clerk, sara).status_code in (302, 403)
    assert not SoftBan.objects.exists()


@SUSPENDING
def test_staff_suspend_no_other_staff(suspend: Way, clerk: User, other_clerk: User) -> None:
    suspend(clerk, other_clerk)
    assert not SoftBan.objects.exists()


@SUSPENDING
def test_staff_suspend_no_superuser_who_is_not_marked_as_staff(suspend: Way, clerk: User) -> None:
    root = person("root@example.dz", is_superuser=True)
    suspend(clerk, root)
    assert not SoftBan.objects.exists()


@SUSPENDING
def test_a_superuser_suspends_staff(suspend: Way, sara: User, clerk: User) -> None:
    suspend(sara, clerk)
    assert SoftBan.objects.get().user == clerk


@SUSPENDING
def test_nobody_suspends_the_own_account(suspend: Way, sara: User) -> None:
    suspend(sara, sara)
    assert not SoftBan.objects.exists()


@SUSPENDING
def test_suspended_staff_suspend_no_customer(suspend: Way, sara: User, clerk: User, alice: User) -> None:
    bans.soft_ban(user=clerk, reason="x", by=sara)
    suspend(clerk, alice)
    assert [ban.user for ban in SoftBan.objects.all()] == [clerk]


@LIFTING
def test_suspended_staff_do_not_lift_the_own_suspension(lift: Way, sara: User, clerk: User) -> None:
    bans.soft_ban(user=clerk, reason="x", by=sara)
    lift(clerk, clerk)
    assert bans.is_suspended(clerk)


@LIFTING
def test_a_suspended_superuser_does_not_lift_the_own_suspension(lift: Way, sara: User) -> None:
    bans.soft_ban(user=sara, reason="x", by=None)
    lift(sara, sara)
    assert bans.is_suspended(sara)


@LIFTING
def test_suspended_staff_do_not_lift_the_suspension_of_a_customer(
    lift: Way, sara: User, clerk: User, alice: User
) -> None:
    for user in (clerk, alice):
        bans.soft_ban(user=user, reason="x", by=sara)
    lift(clerk, alice)
    assert bans.is_suspended(alice)


@LIFTING
def test_staff_do_not_lift_the_suspension_of_other_staff(lift: Way, sara: User, clerk: User, other_clerk: User) -> None:
    bans.soft_ban(user=other_clerk, reason="x", by=sara)
    lift(clerk, other_clerk)
    assert bans.is_suspended(other_clerk)


@LIFTING
def test_staff_lift_the_suspension_of_a_customer(lift: Way, clerk: User, alice: User) -> None:
    bans.soft_ban(user=alice, reason="x", by=None)
    lift(clerk, alice)
    assert not bans.is_suspended(alice)


def test_the_api_says_that_staff_may_not(clerk: User, sara: User) -> None:
    for answer in (suspend_by_api(clerk, sara), lift_by_api(clerk, sara)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "may_not_suspend")


def test_the_page_says_who_was_left_out(clerk: User, sara: User, alice: User) -> None:
    rows = [SignUp.objects.create(user=user, mailbox_digest=user.email, address_digest="a") for user in (sara, alice)]
    chosen = {"action": "soft_ban_selected", "_selected_action": [row.pk for row in rows]}
    page = session(clerk).post("/admin/accounts/signup/", chosen, follow=True, headers={"Accept-Language": "en"})
    assert "You may not suspend sara@example.dz" in page.content.decode()
    assert SoftBan.objects.get().user == alice


def test_the_right_is_read_again_when_it_is_used(clerk: User, alice: User) -> None:
    """`clerk` was demoted, and `alice` promoted, after this process had read both."""
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    with pytest.raises(MayNotSuspend):
        bans.soft_ban(user=alice, reason="x", by=clerk)
    User.objects.filter(pk=alice.pk).update(is_staff=False)
    User.objects.filter(pk=clerk.pk).update(is_staff=False)
    with pytest.raises(MayNotSuspend):
        bans.soft_ban(user=alice, reason="x", by=clerk)


def test_the_dashboard_shows_a_button_only_where_it_works(clerk: User, sara: User, alice: User) -> None:
    for user in (sara, alice):
        UsageLog.objects.bulk_create(
            UsageLog(user_id=user.pk, provider="groq", model="m", cost_usd=0) for _ in range(301)
        )
    view = session(clerk).get("/admin/dashboard").context["view"]
    assert {row.user.user_id: row.may_suspend for row in view.abusers} == {sara.pk: False, alice.pk: True}
    bans.soft_ban(user=alice, reason="x", by=clerk)
    bans.soft_ban(user=sara, reason="x", by=None)
    view = session(clerk).get("/admin/dashboard").context["view"]
    assert {row.ban.user_id: row.may_lift for row in view.bans} == {sara.pk: False, alice.pk: True}
