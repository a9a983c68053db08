"""Every place that changes what processes remember announces it, and every table that they remember is covered."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import announcing, holders, keyring, second_factor
from accounts.models import ApiKey, SecondFactor, User
from accounts.tokens import issue_tokens
from billing import entitlements, refunds, subscriptions
from billing.models import PaymentTransaction, Tier, UserTier
from billing.tests.conftest import begin as begin
from billing.tests.conftest import chargily as chargily
from billing.tests.conftest import chargily_server as chargily_server
from billing.tests.conftest import webhooks as webhooks
from conftest import key_of
from llmrouter import catalogue
from llmrouter.models import Model, Route
from usage import bans
from usage.changes import key

pytestmark = pytest.mark.django_db

Act = Callable[[], object]


@pytest.fixture
def staff(sara: User) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(sara)
    return client


@pytest.fixture
def announced(redis: Any, django_capture_on_commit_callbacks: Any) -> Callable[[Act], set[int | None]]:
    """Whom an act was announced for; None: everyone."""

    def announced(act: Act) -> set[int | None]:
        redis.flushdb()
        with django_capture_on_commit_callbacks(execute=True):
            act()
        everyone = {None} if redis.exists(key(None)) else set[int | None]()
        return everyone | {pk for pk in User.objects.values_list("pk", flat=True) if redis.exists(key(pk))}

    return announced


Announced = Callable[[Act], set[int | None]]


def edit(staff: Client, page: str, **changed: Any) -> None:
    """The admin's form as it is shown, with some fields changed."""
    shown = staff.get(page).context
    forms = [shown["adminform"].form]
    for inline in shown["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    form: dict[str, Any] = {}
    for part in forms:
        for name, field in part.fields.items():
            value = part.get_initial_for_field(field, name)
            if value is not None and value is not False:
                form[part.add_prefix(name)] = value
    split = {f"{name}_{place}": part for name, value in form.items() if hasattr(value, "date")
             for place, part in enumerate(str(timezone.localtime(value)).split("+")[0].split(" "))}  # fmt: skip
    answer = staff.post(page, {**form, **split, **changed})
    assert answer.status_code == 302, [part.errors for part in [answer.context["adminform"].form]]


def act_on(staff: Client, page: str, action: str, *users: User, **more: str) -> None:
    form = {"action": action, "_selected_action": [str(user.pk) for user in users], **more}
    assert staff.post(page, form).status_code == 302


# Billing


@pytest.fixture
def paid(charlie: User, begin: Any, webhooks: Any) -> PaymentTransaction:
    payment: PaymentTransaction = begin(charlie)
    webhooks.pay_and_tell(payment)
    payment.refresh_from_db()
    return payment


def test_payment(announced: Announced, charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    assert announced(lambda: webhooks.pay_and_tell(payment)) == {charlie.pk}


def test_refund(announced: Announced, sara: User, charlie: User, paid: PaymentTransaction) -> None:
    assert announced(lambda: refunds.refund(paid, by=sara, reason="asked for")) == {charlie.pk}


def test_refund_in_the_admin(announced: Announced, staff: Client, charlie: User, paid: PaymentTransaction) -> None:
    form = {"action": "refund", "_selected_action": [str(paid.pk)], "confirmed": "1", "reason": "asked for"}
    assert announced(lambda: staff.post("/admin/billing/paymenttransaction/", form)) == {charlie.pk}


def test_end_of_a_subscription(announced: Announced, bob: User) -> None:
    UserTier.objects.update(expires_at=timezone.now())
    assert announced(subscriptions.expire) == {bob.pk}


def test_gift_of_staff(announced: Announced, staff: Client, charlie: User) -> None:
    form = {"user": str(charlie.pk), "tier": "enterprise"}
    assert announced(lambda: staff.post("/admin/billing/usertier/add/", form)) == {charlie.pk}
    assert UserTier.objects.get(user=charlie).tier_id == "enterprise"


def test_subscription_edited_by_staff(announced: Announced, staff: Client, bob: User) -> None:
    page = f"/admin/billing/usertier/{UserTier.objects.get(user=bob).pk}/change/"
    assert announced(lambda: edit(staff, page, tier="pro")) == {bob.pk}


def test_subscription_deleted_by_staff(announced: Announced, staff: Client, bob: User) -> None:
    held = UserTier.objects.get(user=bob)
    assert announced(held.delete) == {bob.pk}


def test_tier_edited_by_staff(announced: Announced, staff: Client) -> None:
    assert None in announced(lambda: edit(staff, "/admin/billing/tier/pro/change/", messages_per_day=401))


def test_tiers_put_back_by_command(announced: Announced) -> None:
    Tier.objects.filter(name="pro").update(messages_per_day=1)
    assert announced(lambda: call_command("load_tiers", "--reset", verbosity=0)) == {None}


# Catalogue


def test_model_edited_by_staff(announced: Announced, staff: Client) -> None:
    assert None in announced(lambda: edit(staff, "/admin/llmrouter/model/gpt-4o/change/", title="GPT"))


def test_route_edited_by_staff(announced: Announced, staff: Client) -> None:
    page = f"/admin/llmrouter/route/{Route.objects.get(model_id='gpt-4o').pk}/change/"
    assert None in announced(lambda: edit(staff, page, weight=7))


def test_tiers_of_a_model(announced: Announced) -> None:
    model = Model.objects.get(name="gpt-4o")
    assert announced(lambda: model.only_tiers.add(Tier.objects.get(name="pro"))) == {None}
    assert announced(model.only_tiers.clear) == {None}


def test_models_loaded_by_command(announced: Announced) -> None:
    Route.objects.filter(model_id="gpt-4o").update(list_prices={})
    assert announced(lambda: call_command("load_models", verbosity=0)) == {None}
    Model.objects.get(name="gpt-4o").delete()
    assert announced(lambda: call_command("load_models", verbosity=0)) == {None}


def test_routes_written_in_bulk(announced: Announced) -> None:
    rows = [Route(model_id="gpt-4o", provider="groq", upstream="x")]
    assert announced(lambda: Route.objects.bulk_create(rows)) == {None}


# People


def test_ban_and_its_end(announced: Announced, sara: User, alice: User) -> None:
    assert announced(lambda: bans.soft_ban(user=alice, reason="farming", by=sara)) == {alice.pk}
    assert announced(lambda: bans.lift_ban(user=alice, by=sara)) == {alice.pk}


def test_bans_by_the_api(announced: Announced, sara: User, alice: User) -> None:
    headers = {"Authorization": f"Bearer {issue_tokens(sara).access}"}
    path = f"/admin/users/{alice.pk}/soft-ban"
    body = {"reason": "farming"}
    assert announced(
        lambda: Client().post(path, body, content_type="application/json", headers=headers)
    ) == {alice.pk}  # fmt: skip
    assert announced(lambda: Client().delete(path, headers=headers)) == {alice.pk}


def test_suspension_in_the_admin(announced: Announced, staff: Client, alice: User, bob: User) -> None:
    page = "/admin/accounts/user/"
    more = {"reason": "farming", "hours": "24", "days": "1"}
    assert announced(lambda: act_on(staff, page, "suspend", alice, bob, **more)) == {alice.pk, bob.pk}
    assert announced(lambda: act_on(staff, page, "lift", alice, bob)) == {alice.pk, bob.pk}


def test_keys(announced: Announced, alice: User) -> None:
    assert announced(lambda: keyring.issue_key(user_id=alice.pk, name="x")) == {alice.pk}
    row = ApiKey.objects.get()
    assert announced(lambda: keyring.revoke_key(user_id=alice.pk, key_id=row.pk)) == {alice.pk}


def test_keys_revoked_by_staff(announced: Announced, staff: Client, alice: User, bob: User) -> None:
    key_of(alice)
    key_of(bob)
    assert announced(lambda: act_on(staff, "/admin/accounts/user/", "revoke_api_keys", alice)) == {alice.pk}


def test_account_closed_by_staff(announced: Announced, staff: Client, alice: User) -> None:
    assert announced(lambda: edit(staff, f"/admin/accounts/user/{alice.pk}/change/", is_active="")) >= {alice.pk}
    alice.refresh_from_db()
    assert not alice.is_active


def test_password_set_by_staff(announced: Announced, staff: Client, alice: User) -> None:
    form = {"password1": "correct horse staple", "password2": "correct horse staple", "usable_password": "true"}
    assert announced(lambda: staff.post(f"/admin/accounts/user/{alice.pk}/password/", form)) >= {alice.pk}
    alice.refresh_from_db()
    assert alice.check_password("correct horse staple")


def test_second_factor(announced: Announced, sara: User) -> None:
    assert announced(lambda: SecondFactor.objects.create(user=sara, salt="x")) == {sara.pk}
    assert announced(lambda: second_factor.reset(user=sara, by="an operator")) == {sara.pk}


def test_deleted_user(announced: Announced, charlie: User, redis: Any) -> None:
    gone = charlie.pk
    announced(charlie.delete)
    assert redis.exists(key(gone))


# Whatever comes


def tables_asked(load: Act) -> set[str]:
    with CaptureQueriesContext(connection) as queries:
        load()
    return {table for query in queries for table in re.findall(r'(?:FROM|JOIN) "?(\w+)"?', query["sql"])}


def test_every_table_that_is_remembered_announces_its_changes(alice: User, sara: User) -> None:
    key_of(alice)
    asked = tables_asked(
        lambda: (
            holders.owner_of_key("x"),
            holders.holder(alice.pk),
            second_factor.is_needed(sara),
            entitlements._load(alice.pk),
            entitlements._load_tiers(None),
            catalogue._load(None),
        )
    )
    through = {Model.only_tiers.through._meta.db_table}
    assert asked >= {"users", "api_keys", "soft_bans", "user_tiers", "tiers", "llm_models", "llm_routes"}
    assert asked - {model._meta.db_table for model in announcing.RULES} - through == set()


@pytest.mark.parametrize("model", announcing.RULES, ids=lambda model: model.__name__)
def test_every_manager_of_such_a_table_announces(model: Any) -> None:
    assert model in apps.get_models()
    for manager in model._meta.managers:
        assert isinstance(manager.get_queryset(), announcing.AnnouncingQuerySet)


def test_sign_up_announces_nobody_else(announced: Announced, alice: User) -> None:
    assert alice.pk not in announced(lambda: User.objects.create_user("dina@example.dz", "x"))
