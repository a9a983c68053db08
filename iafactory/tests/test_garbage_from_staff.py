"""Staff send values that no row can have: to every list, filter, search, row, action and page of the admin."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.db import DataError, models
from django.test import Client, RequestFactory

from accounts.models import User

pytestmark = pytest.mark.django_db

NUL = "%00"
HUGE = "9" * 20
# Python refuses to read an integer of so many digits.
ENDLESS = "9" * 5000
# Written as they stand in an address: `%ff` is no UTF-8, `%ed%a0%80` a lone surrogate, `_00` the admin's own NUL.
GARBAGE = [
    NUL, f"a{NUL}b", HUGE, f"-{HUGE}", "99999", "9999", "0", "0000-00-00", "9999-12-31", "0001-01-01", "%ff",
    "%ed%a0%80", "_00", "1e9", "NaN", "%C3%A9" * 300,
]  # fmt: skip
# A page of a list takes some 50 ms: these stand for the others where there are many parameters.
FEW = [NUL, HUGE, "99999", "0000-00-00", "9999-12-31", "%ff"]
LOOKUPS = ("", "__gte", "__in", "__year", "__id__exact")
OWN = ("q", "p", "o", "e", "all", "_to_field", "_popup", "_facets", "_changelist_filters", "id__exact", "nosuch")

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
each_admin = pytest.mark.parametrize("model", MODELS, ids=[model._meta.label for model in MODELS])


@pytest.fixture
def client(sara: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(sara)
    return client


def list_of(model: type[models.Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def asked_of(user: User) -> Any:
    request = RequestFactory().get("/")
    request.user = user
    return request


def parameters(model: type[models.Model], user: User) -> Iterator[str]:
    """Each parameter that the list of this model reads."""
    found: ModelAdmin[Any] = admin.site._registry[model]
    yield from OWN
    for each in (*found.get_list_filter(asked_of(user)), *([found.date_hierarchy] if found.date_hierarchy else [])):
        named = each[0] if isinstance(each, tuple) else each
        name = named if isinstance(named, str) else getattr(named, "parameter_name", None)
        if isinstance(name, str):
            yield from (f"{name}{lookup}" for lookup in LOOKUPS)


def failures(client: Client, addresses: Iterator[str]) -> list[str]:
    return [address[:120] for address in addresses if client.get(address).status_code >= 500]


@each_admin
def test_lists_survive_garbage_in_each_parameter(client: Client, sara: User, model: Any) -> None:
    pairs = ((name, value) for name in parameters(model, sara) for value in FEW)
    assert failures(client, (f"{list_of(model)}?{name}={value}" for name, value in pairs)) == []


@each_admin
def test_lists_survive_garbage_beside_the_flag_of_an_error(client: Client, model: Any) -> None:
    values = (NUL, ENDLESS, HUGE)
    assert failures(client, (f"{list_of(model)}?e=1&id__exact={v}&q={v}&p={v}&o={v}" for v in values)) == []


@each_admin
def test_pages_of_a_row_survive_a_garbage_id(client: Client, model: Any) -> None:
    tails = ("/change/", "/history/", "/delete/", "/")
    ids = (value for value in (*GARBAGE, ENDLESS))
    assert failures(client, (f"{list_of(model)}{pk}{tail}" for pk in ids for tail in tails)) == []


@each_admin
def test_each_action_survives_garbage_rows(client: Client, sara: User, model: Any) -> None:
    actions = [*admin.site._registry[model].get_actions(asked_of(sara)), "nosuch", NUL]
    forms = [
        f"action={action}&_selected_action={value}&index={index}{more}"
        for action in actions
        for value in (*FEW, ENDLESS)
        for index, more in (("0", "&post=yes"), ("x", ""))
    ]
    answers = [(form[:100], post(client, list_of(model), form)) for form in forms]
    assert [form for form, status in answers if status >= 500] == []


@each_admin
def test_forms_of_a_new_row_survive_garbage(client: Client, model: Any) -> None:
    names = [field.name for field in model._meta.get_fields()]
    broken = []
    for value in (*FEW, ENDLESS):
        form = "&".join(f"{name}={value}&{name}_0={value}&{name}_1={value}&{name}-TOTAL_FORMS=1" for name in names)
        broken += [value[:20]] if post(client, f"{list_of(model)}add/", form) >= 500 else []
        prefilled = "&".join(f"{name}={value[:100]}" for name in names)
        broken += failures(client, iter([f"{list_of(model)}add/?{prefilled}"]))
    assert broken == []


def test_autocomplete_survives_garbage(client: Client) -> None:
    fields = [
        (model, field.name)
        for model in MODELS
        for field in model._meta.get_fields()
        if isinstance(field, models.ForeignKey)
    ]
    asked = {"app_label": "", "model_name": "", "field_name": "", "term": "a", "page": "1"}
    addresses = []
    for model, field in fields:
        right = {**asked, "app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": field}
        for name in asked:
            for value in (*GARBAGE, ENDLESS):
                pairs = {**right, name: value}.items()
                addresses.append("/admin/autocomplete/?" + "&".join(f"{key}={text}" for key, text in pairs))
    assert failures(client, iter(addresses)) == []


@pytest.mark.parametrize("value", [*GARBAGE, ENDLESS], ids=lambda value: value[:12])
def test_the_staffs_own_pages_and_api_survive_garbage(client: Client, value: str) -> None:
    pages = [f"/admin/dashboard?period={value}&fragment={value}", f"/admin/costs/breakdown?days={value}"]
    pages += [f"/admin/users/abusive?x={value}", f"/admin/users/{value}/soft-ban", f"/admin/login/?next={value}"]
    assert failures(client, iter(pages)) == []
    for path in ("/admin/dashboard/ban", "/admin/dashboard/lift"):
        form = f"user_id={value}&reason={value}&hours={value}&period={value}"
        assert post(client, path, form) < 500
    for path in (f"/admin/users/{value}/soft-ban", "/admin/second-factor", "/admin/login/"):
        assert post(client, path, f"username={value}&password={value}&otp_token={value}&code={value}") < 500


def test_an_unusable_filter_leads_to_the_list_without_filters(client: Client) -> None:
    response = client.get("/admin/billing/paymenttransaction/?created_at__year=99999")
    assert (response.status_code, response["Location"]) == (302, "/admin/billing/paymenttransaction/?e=1")


def test_a_nul_in_a_search_is_refused(client: Client) -> None:
    response = client.get("/admin/accounts/user/?q=%00")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_a_failure_of_the_list_itself_stays_ours(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """No value came from the request: what failed is the code or the database, and it is logged as such."""

    def fail(*_: Any) -> None:
        raise DataError("a view of ours divides by zero")

    monkeypatch.setattr(type(admin.site._registry[User]), "get_queryset", fail)
    assert client.get("/admin/accounts/user/").status_code == 500


def post(client: Client, path: str, form: str) -> int:
    kind = "application/x-www-form-urlencoded"
    return client.generic("POST", path, form, content_type=kind).status_code


def test_surrogates_are_written_as_this_file_says() -> None:
    assert quote("\ud800".encode("utf-8", "surrogatepass")).lower() == "%ed%a0%80"
