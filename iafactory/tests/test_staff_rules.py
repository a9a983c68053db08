"""What staff may not enter in the admin, because it would break the shop: each with one plain sentence."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing.models import PaymentTransaction, Tier, UserTier
from billing.tests.test_locking import wait_until_somebody_waits
from conftest import person
from llmrouter.models import Model, Route
from tests.admin_forms import enter, opened, page_of, save, staff_client

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def staff(sara: User) -> Client:
    return staff_client(sara)


def refused(staff: Client, row: Any, **wanted: Any) -> str:
    """Save these values on the row's page; the errors shown. Nothing of the row is changed."""
    form = opened(staff, row)
    for name, value in wanted.items():
        form = enter(form, name, value)
    before = type(row).objects.filter(pk=row.pk).values().get()
    answer = save(staff, row, form)
    assert answer.status_code == 200, "the form was accepted"
    assert type(row).objects.filter(pk=row.pk).values().get() == before
    return " ".join(str(error) for errors in answer.context["errors"] for error in errors)


def accepted(staff: Client, row: Any, **wanted: Any) -> None:
    form = opened(staff, row)
    for name, value in wanted.items():
        form = enter(form, name, value)
    answer = save(staff, row, form)
    assert answer.status_code == 302, answer.context["errors"]
    row.refresh_from_db()


@pytest.mark.parametrize("model", [Tier, Model])
def test_a_name_that_is_a_key_is_not_changed(model: Any, staff: Client) -> None:
    row = model.objects.get(pk="pro" if model is Tier else "gpt-4o")
    form = opened(staff, row)
    assert "name" not in form
    number = model.objects.count()
    assert save(staff, row, {**form, "name": "renamed"}).status_code == 302
    assert (model.objects.count(), model.objects.filter(pk="renamed").exists()) == (number, False)


@pytest.mark.parametrize(
    ("tier", "wanted", "sentence"),
    [
        ("pro", {"price_dzd": "0"}, "at least 50 DZD"),
        ("pro", {"price_dzd": "49"}, "at least 50 DZD"),
        ("pro", {"price_dzd": ""}, "sold online needs a price"),
        ("pro", {"price_dzd": "-5"}, "greater than or equal to 0"),
        ("pro", {"price_dzd": "25900000"}, "less than or equal to 1000000"),
        ("pro", {"user_daily_budget_usd": "-1"}, "greater than or equal to 0"),
        ("pro", {"user_daily_budget_usd": "0"}, "never get what it promises"),
        ("pro", {"user_daily_budget_usd": "99999999"}, "less than or equal to 100000"),
        ("pro", {"messages_per_day": "0"}, "greater than or equal to 1"),
        ("student", {"requests_per_minute": "0"}, "greater than or equal to 1"),
        ("student", {"groq_percent": "101"}, "less than or equal to 100"),
        ("student", {"groq_percent": "-1"}, "greater than or equal to 0"),
        ("student", {"rank": "0"}, "Only the free tier"),
        ("free", {"price_dzd": "500"}, "costs 0"),
        ("free", {"price_dzd": ""}, "costs 0"),
        ("free", {"sold_online": "on"}, "not sold"),
        ("free", {"user_daily_budget_usd": ""}, "needs a limit"),
        ("free", {"rank": "99"}, "lowest rank"),
        ("enterprise", {"sold_online": "on"}, "sold online needs a price"),
    ],
)
def test_a_tier_that_breaks_the_shop_is_refused(
    tier: str, wanted: dict[str, str], sentence: str, staff: Client
) -> None:
    assert sentence in refused(staff, Tier.objects.get(name=tier), **wanted)


def test_the_price_of_a_tier_that_is_held_is_not_emptied(staff: Client, bob: User) -> None:
    student = Tier.objects.get(name="student")
    assert "Customers hold this tier" in refused(staff, student, price_dzd="", sold_online=False)
    UserTier.objects.update(expires_at=timezone.now() - DAY)
    accepted(staff, student, price_dzd="", sold_online=False)


def test_prices_and_limits_that_make_sense_are_accepted(staff: Client, alice: User) -> None:
    accepted(staff, Tier.objects.get(name="pro"), price_dzd="2990", groq_percent="30", user_daily_budget_usd="")
    accepted(staff, Tier.objects.get(name="free"), messages_per_day="5", user_daily_budget_usd="0.01")
    accepted(staff, Tier.objects.get(name="enterprise"), messages_per_day="20000")


def test_the_database_refuses_a_negative_budget_too(db: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Tier.objects.filter(name="pro").update(user_daily_budget_usd=-1)


def test_the_free_tier_and_listed_tiers_are_not_deleted(staff: Client) -> None:
    Model.objects.get(name="gpt-4o").only_tiers.set(Tier.objects.filter(name="enterprise"))
    for name in ("free", "enterprise"):
        page = page_of(Tier.objects.get(name=name)).replace("change", "delete")
        staff.post(page, {"post": "yes"})
        form = {"action": "delete_selected", "_selected_action": [name], "post": "yes"}
        staff.post("/admin/billing/tier/", form)
        assert Tier.objects.filter(name=name).exists()


@pytest.fixture
def paying(bob: User) -> UserTier:
    """Bob, who has paid for 20 more days of `student`."""
    ends_at = timezone.now() + 20 * DAY
    PaymentTransaction.objects.create(
        user=bob, tier_id="student", amount_dzd=1590, status="paid", ends_at=ends_at, paid_at=timezone.now()
    )
    UserTier.objects.filter(user=bob).update(expires_at=ends_at, subscribed_at=timezone.now() - DAY)
    return UserTier.objects.get(user=bob)


@pytest.mark.parametrize("way", ["page", "list"])
def test_the_subscription_of_a_paying_customer_is_not_deleted(way: str, staff: Client, paying: UserTier) -> None:
    page = page_of(paying).replace("change", "delete") if way == "page" else "/admin/billing/usertier/"
    form = {} if way == "page" else {"action": "delete_selected", "_selected_action": [paying.pk]}
    asked = staff.post(page, form) if form else staff.get(page)
    html = asked.content.decode()
    assert "bob@example.dz has paid for student" in html
    assert f"/admin/billing/paymenttransaction/{PaymentTransaction.objects.get().pk}/change/" in html
    staff.post(page, {**form, "post": "yes"})
    assert UserTier.objects.filter(pk=paying.pk).exists()


def test_a_gift_is_ended_on_its_page_and_an_ended_subscription_may_go(staff: Client, alice: User, bob: User) -> None:
    gift = UserTier.objects.get(user=alice)
    delete = page_of(gift).replace("change", "delete")
    assert "choose the free tier" in staff.get(delete).content.decode()
    staff.post(delete, {"post": "yes"})
    assert UserTier.objects.filter(pk=gift.pk).exists()
    accepted(staff, gift, tier="free")
    staff.post(delete, {"post": "yes"})
    assert not UserTier.objects.filter(pk=gift.pk).exists()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"tier": "free", "expires_at_0": "", "expires_at_1": ""}, "refund the payment"),
        ({"tier": "free"}, "has no end"),
        ({"expires_at": timezone.now() + 5 * DAY}, "refund the payment"),
        ({"expires_at": timezone.now() - DAY}, "in the past"),
        ({"expires_at": timezone.now() + 4000 * DAY}, "ten years"),
        ({"subscribed_at": timezone.now() + 90 * DAY, "expires_at": timezone.now() + 80 * DAY}, "after its end"),
    ],
)
def test_a_subscription_that_takes_paid_days_or_makes_no_sense_is_refused(
    wanted: dict[str, Any], sentence: str, staff: Client, paying: UserTier
) -> None:
    assert sentence in refused(staff, paying, **wanted)


def test_more_days_a_higher_tier_and_no_end_may_be_given(staff: Client, paying: UserTier) -> None:
    accepted(staff, paying, expires_at=timezone.now() + 40 * DAY)
    accepted(staff, paying, tier="pro")
    accepted(staff, paying, expires_at_0="", expires_at_1="")
    assert (paying.tier_id, paying.expires_at) == ("pro", None)


def test_a_subscription_is_not_moved_to_another_person(staff: Client, paying: UserTier, alice: User) -> None:
    form = opened(staff, paying)
    assert save(staff, paying, {**form, "user": alice.pk}).status_code == 302
    paying.refresh_from_db()
    assert paying.user.email == "bob@example.dz"


@pytest.mark.parametrize("name", ["is_active", "is_staff", "is_superuser"])
def test_staff_do_not_lock_themselves_out(name: str, staff: Client, sara: User) -> None:
    other = {"is_staff": {"is_superuser": False}}.get(name, {})
    assert "your own access" in refused(staff, sara, **{name: False}, **other)


def test_a_superuser_is_staff(staff: Client, bob: User) -> None:
    assert "Only a member of staff" in refused(staff, bob, is_superuser="on")


@pytest.mark.parametrize("email", ["ALICE@example.dz", " alice@EXAMPLE.dz "])
def test_an_address_is_not_given_twice_however_it_is_spelled(email: str, staff: Client, alice: User, bob: User) -> None:
    assert "already exists" in refused(staff, bob, email=email)
    form = {"email": email, "password1": "staple battery horse", "password2": "staple battery horse"}
    assert staff.post("/admin/accounts/user/add/", form).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_superusers_who_demote_each_other_one_remains() -> None:
    call_command("load_tiers", verbosity=0)
    sara = person("sara@example.dz", is_staff=True, is_superuser=True)
    omar = person("omar@example.dz", is_staff=True, is_superuser=True)
    by_sara, by_omar = staff_client(sara), staff_client(omar)
    forms = {user.pk: enter(opened(by_sara, user), "is_superuser", False) for user in (sara, omar)}

    def second() -> None:
        try:
            save(by_omar, sara, forms[sara.pk])
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        assert save(by_sara, omar, forms[omar.pk]).status_code == 302
        thread.start()
        wait_until_somebody_waits()
    thread.join()
    assert list(User.objects.filter(is_superuser=True)) == [sara]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"context_window": "0"}, "greater than or equal to 1"),
        ({"image_tokens": "0"}, "greater than or equal to 1"),
        ({"max_output_tokens": "900000"}, "longer than the context window"),
        ({"default_output_tokens": "90000"}, "more than the most"),
    ],
)
def test_limits_of_a_model_that_contradict_each_other_are_refused(
    wanted: dict[str, str], sentence: str, staff: Client
) -> None:
    assert sentence in refused(staff, Model.objects.get(name="gpt-4o"), **wanted)


@pytest.mark.parametrize("name", ["stands_in", "last_resort"])
def test_what_serves_when_others_cannot_is_kept(name: str, staff: Client) -> None:
    row = Model.objects.get(**{name: True})
    assert "Tick it on another model" in refused(staff, row, **{name: False})
    assert "serves when others cannot" in refused(staff, row, enabled=False)
    staff.post(page_of(row).replace("change", "delete"), {"post": "yes"})
    assert Model.objects.filter(pk=row.pk).exists()
    # Ticked on another model, it moves there.
    other = Model.objects.get(name="gpt-4o")
    accepted(staff, other, **{name: "on"})
    assert list(Model.objects.filter(**{name: True})) == [other]


def test_a_model_that_differs_in_case_alone_is_refused(staff: Client) -> None:
    inline = {"routes-TOTAL_FORMS": 0, "routes-INITIAL_FORMS": 0}
    form = {"title": "x", "vendor": "x", "min_tier": "pro", "context_window": 9, "max_output_tokens": 9}
    form |= {"default_output_tokens": 9, "position": 0, **inline}
    for name in ("GPT-4o", "gpt 4o", "gpt-4o"):
        assert staff.post("/admin/llmrouter/model/add/", {**form, "name": name}).status_code == 200
    assert staff.post("/admin/llmrouter/model/add/", {**form, "name": "gpt-4o-next"}).status_code == 302


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"input_price": "0"}, "0 counts as free"),
        ({"output_price": "-1"}, "greater than or equal to 0"),
        ({"timeout_seconds": "0"}, "greater than or equal to 1"),
        ({"timeout_seconds": "6000"}, "less than or equal to 600"),
        ({"weight": "0"}, "greater than or equal to 1"),
        ({"serves": "gpt-9"}, "There is no model gpt-9"),
    ],
)
def test_a_route_that_breaks_the_budget_or_never_answers_is_refused(
    wanted: dict[str, str], sentence: str, staff: Client
) -> None:
    route = Route.objects.filter(model_id="gpt-4o").get()
    assert sentence in refused(staff, route, **wanted)
    accepted(staff, route, input_price="2.5", timeout_seconds="30", serves="gpt-oss-120b")


def test_every_sentence_is_translated(db: None) -> None:
    """The rules are read by staff in their language."""
    from django.utils import translation

    for language in ("fr", "ar"):
        with translation.override(language):
            for sentence in (
                "The free tier costs 0.",
                "This is the last superuser. Make another one first.",
                "An answer cannot be longer than the context window.",
                "This end is in the past. To take the tier away, choose the free tier.",
            ):
                assert translation.gettext(sentence) != sentence
