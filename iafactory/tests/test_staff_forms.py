"""Admin forms that staff left open: what the product or a colleague changed meanwhile is not taken back."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection, transaction
from django.forms import BaseModelForm
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.admin import ReadOnlyAdmin
from accounts.models import User
from accounts.staff_forms import EditableAdmin, EditableInline, StaffFormMixin
from billing import subscriptions
from billing.models import Tier, UserTier
from billing.tests.test_locking import wait_until_somebody_waits
from conftest import person
from llmrouter.models import Model, Route
from tests.admin_forms import enter, opened, page_of, save, shown, staff_client

pytestmark = pytest.mark.django_db

EDITABLE = [page for page in admin.site._registry.values() if not isinstance(page, ReadOnlyAdmin)]
# Of each page: a row, a field that the product or a colleague changes meanwhile, and another that staff change.
CHANGES: dict[str, tuple[str, Any, str, Any]] = {
    "accounts.User": ("language", "ar", "is_active", False),
    "billing.Tier": ("messages_per_day", 401, "requests_per_minute", 16),
    "billing.UserTier": ("auto_renew", False, "expires_at", timezone.now() + timedelta(days=9)),
    "llmrouter.Model": ("position", 44, "title", "GPT"),
    "llmrouter.Route": ("weight", 7, "position", 3),
}


@pytest.fixture
def staff(sara: User) -> Client:
    return staff_client(sara)


def row_of(label: str, user: User) -> Any:
    rows: dict[str, Any] = {"accounts.User": user, "billing.Tier": Tier.objects.get(name="pro")}
    rows |= {
        "billing.UserTier": UserTier.objects.filter(user=user).first(),
        "llmrouter.Model": Model.objects.get(name="gpt-4o"),
    }
    return (rows | {"llmrouter.Route": Route.objects.filter(model_id="gpt-4o").first()})[label]


def test_a_renewal_survives_a_form_that_staff_left_open(staff: Client, bob: User) -> None:
    now = timezone.now()
    UserTier.objects.update(expires_at=now + timedelta(days=3))
    held = UserTier.objects.get()
    form = opened(staff, held)
    UserTier.objects.update(expires_at=now + timedelta(days=33))
    assert save(staff, held, enter(form, "auto_renew", False)).status_code == 302
    held.refresh_from_db()
    assert (held.expires_at, held.auto_renew) == (now + timedelta(days=33), False)


def test_an_end_that_staff_and_the_product_both_changed_is_refused(staff: Client, bob: User) -> None:
    now = timezone.now()
    UserTier.objects.update(expires_at=now + timedelta(days=3))
    held = UserTier.objects.get()
    form = opened(staff, held)
    UserTier.objects.update(expires_at=now + timedelta(days=33))
    answer = save(staff, held, enter(form, "expires_at", now + timedelta(days=90)))
    assert answer.status_code == 200
    assert "changed meanwhile" in answer.content.decode()
    held.refresh_from_db()
    assert held.expires_at == now + timedelta(days=33)
    # The same form again is refused again: it still shows what is no longer there.
    again = shown(answer.content.decode())
    assert "changed meanwhile" in save(staff, held, again).content.decode()


@pytest.mark.parametrize("page", EDITABLE, ids=lambda page: page.model._meta.label)
def test_every_page_that_changes_rows_writes_only_what_staff_changed(page: Any, staff: Client, bob: User) -> None:
    """A page that is new here needs its line in `CHANGES` and the base class `EditableAdmin`."""
    meanwhile, then, by_staff, wanted = CHANGES[page.model._meta.label]
    row = row_of(page.model._meta.label, bob)
    form = opened(staff, row)
    type(row).objects.filter(pk=row.pk).update(**{meanwhile: then})
    answer = save(staff, row, enter(form, by_staff, wanted))
    assert answer.status_code == 302, answer.context["errors"]
    row.refresh_from_db()
    assert getattr(row, meanwhile) == then
    assert str(getattr(row, by_staff))[:16] == str(wanted)[:16]


@pytest.mark.parametrize("page", EDITABLE, ids=lambda page: page.model._meta.label)
def test_every_page_refuses_a_field_that_was_changed_meanwhile(page: Any, staff: Client, bob: User) -> None:
    field, then, _by_staff, _wanted = CHANGES[page.model._meta.label]
    row = row_of(page.model._meta.label, bob)
    other = {"language": "en", "auto_renew": None}.get(field, 5)
    if other is None:
        # Two changes of a yes or no come to the same.
        return
    form = opened(staff, row)
    type(row).objects.filter(pk=row.pk).update(**{field: then})
    assert "changed meanwhile" in save(staff, row, enter(form, field, other)).content.decode()
    row.refresh_from_db()
    assert getattr(row, field) == then


@pytest.mark.parametrize("page", EDITABLE, ids=lambda page: page.model._meta.label)
def test_every_page_locks_the_row_and_has_the_form(page: Any, staff: Client, sara: User, bob: User) -> None:
    row = row_of(page.model._meta.label, bob)
    request = RequestFactory().get("/")
    request.user = sara
    assert isinstance(page, EditableAdmin)
    assert issubclass(page.get_form(request, row), StaffFormMixin)
    for inline in page.get_inline_instances(request, row):
        assert isinstance(inline, EditableInline) or not inline.has_change_permission(request, row)
        assert issubclass(inline.get_formset(request, row).form, (StaffFormMixin, BaseModelForm))
    form = opened(staff, row)
    with CaptureQueriesContext(connection) as queries:
        save(staff, row, form)
    locks = [query["sql"] for query in queries if "FOR NO KEY UPDATE" in query["sql"]]
    assert any(row._meta.db_table in sql for sql in locks)
    # A form that nobody touched writes no column at all.
    assert [query["sql"] for query in queries if query["sql"].startswith(f'UPDATE "{row._meta.db_table}"')] == []


def test_no_list_is_edited_in_place() -> None:
    """A list shows many rows for long; Django writes each of them whole."""
    assert [page.model._meta.label for page in admin.site._registry.values() if page.list_editable] == []


def test_routes_on_their_models_page_keep_what_changed_meanwhile(staff: Client) -> None:
    model, route = Model.objects.get(name="gpt-4o"), Route.objects.get(model_id="gpt-4o")
    form = opened(staff, model)
    Route.objects.filter(pk=route.pk).update(weight=7, list_prices={"input": "9", "output": "9"})
    assert save(staff, model, {**form, "routes-0-position": "4"}).status_code == 302
    route.refresh_from_db()
    assert (route.weight, route.position, route.list_prices) == (7, 4, {"input": "9", "output": "9"})
    Route.objects.filter(pk=route.pk).update(weight=8)
    assert "changed meanwhile" in save(staff, model, {**form, "routes-0-weight": "3"}).content.decode()


def test_ticked_tiers_and_rights_are_kept_too(staff: Client) -> None:
    model = Model.objects.get(name="gpt-4o")
    form = opened(staff, model)
    model.only_tiers.set(Tier.objects.filter(name="enterprise"))
    assert save(staff, model, {**form, "title": "GPT"}).status_code == 302
    assert list(model.only_tiers.values_list("name", flat=True)) == ["enterprise"]
    assert "changed meanwhile" in save(staff, model, {**form, "only_tiers": ["pro"]}).content.decode()


def test_a_token_of_another_row_or_a_forged_one_is_refused(staff: Client, bob: User, alice: User) -> None:
    held, other = UserTier.objects.get(user=bob), UserTier.objects.get(user=alice)
    form = opened(staff, held)
    for token in (opened(staff, other)["opened"], form["opened"][:-2] + "xx"):
        assert save(staff, held, {**form, "opened": token}).status_code == 200


def test_the_hash_of_a_password_is_not_in_the_page(staff: Client, bob: User) -> None:
    assert bob.password not in staff.get(page_of(bob)).content.decode()


def test_a_new_password_writes_the_password_alone(staff: Client, bob: User) -> None:
    form = {"password1": "staple battery horse", "password2": "staple battery horse", "usable_password": "true"}
    with CaptureQueriesContext(connection) as queries:
        assert staff.post(f"/admin/accounts/user/{bob.pk}/password/", form).status_code == 302
    (write,) = [q["sql"] for q in queries if q["sql"].startswith('UPDATE "users"') and "last_login" not in q["sql"]]
    assert "language" not in write
    bob.refresh_from_db()
    assert bob.check_password("staple battery horse")


def test_who_may_only_look_sees_the_page(alice: User) -> None:
    from django.contrib.auth.models import Permission

    viewer = person("viewer@example.dz", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    for row in (Tier.objects.get(name="pro"), UserTier.objects.get(), alice, Model.objects.get(name="gpt-4o")):
        assert staff_client(viewer).get(page_of(row)).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["renewal", "staff"])
def test_a_save_and_a_renewal_at_the_same_instant_keep_both(first: str) -> None:
    """Real concurrency: the second one waits for the row's lock of the first."""
    from django.core.management import call_command

    call_command("load_tiers", verbosity=0)
    sara, bob = person("sara@example.dz", is_staff=True, is_superuser=True), person("bob@example.dz", "student")
    now = timezone.now()
    UserTier.objects.update(expires_at=now + timedelta(days=3))
    held = UserTier.objects.get()
    staff = staff_client(sara)
    form = enter(opened(staff, held), "auto_renew", False)
    answers: list[int] = []

    def renew() -> None:
        with transaction.atomic():
            row = subscriptions.lock(bob.pk)
            assert row.expires_at is not None
            row.expires_at += timedelta(days=30)
            row.save(update_fields=["expires_at"])

    def save_it() -> None:
        answers.append(save(staff, held, form).status_code)

    def other() -> None:
        try:
            (save_it if first == "renewal" else renew)()
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    with transaction.atomic():
        (renew if first == "renewal" else save_it)()
        thread.start()
        wait_until_somebody_waits()
    thread.join()
    held.refresh_from_db()
    assert answers == [302]
    assert (held.expires_at, held.auto_renew) == (now + timedelta(days=33), False)
    assert held.user_id == bob.pk
