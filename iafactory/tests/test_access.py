"""Every route, called by each of the cast, against the table of who may.

Alice owns what a route is about; Bob is another customer; Charlie comes with an API key alone; Sara is staff with all
rights; Clerk is staff with none. But for Charlie each has the session of a browser and the header of a program at once.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import ApiKey, SoftBan, User
from billing.models import UserTier
from conftest import key_of, person
from tests.standins.provider import ProviderStandIn
from usage.models import UsageLog

from .access_table import LINES, MODELS, Line, Who

pytestmark = pytest.mark.django_db

# What a model of the admin has without being told. Django's own routes, in its own spelling.
OF_A_MODEL = ("", "add/", "<path:object_id>/history/", "<path:object_id>/delete/", "<path:object_id>/change/")
REDIRECT_TO_CHANGE = "<path:object_id>/"
METHODS = ("get", "post", "put", "patch", "delete")
# Last the owner: before, there is something left to be refused.
CAST = ("anonymous", "bob", "charlie", "clerk", "sara", "alice")


@pytest.fixture
def scene(alice: User, bob: User, charlie: User, sara: User, standin: ProviderStandIn) -> dict[str, Any]:
    key_of(alice)
    # Of a tier without an end there is nothing to buy.
    UserTier.objects.update(expires_at=timezone.now() + timedelta(days=10))
    return {"key": ApiKey.objects.get().pk, "alice": alice.pk}


@pytest.fixture
def cast(scene: dict[str, Any], alice: User, bob: User, charlie: User, sara: User) -> dict[str, Client]:
    clerk = person("clerk@example.dz", is_staff=True)
    return {
        "anonymous": Client(raise_request_exception=False),
        "charlie": bearer(key_of(charlie)),
        **{name: both(user) for name, user in (("alice", alice), ("bob", bob), ("clerk", clerk), ("sara", sara))},
    }


def bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)


def both(user: User) -> Client:
    client = bearer(str(AccessToken.for_user(user)))
    client.force_login(user)
    return client


# Nothing is forgotten


def routes(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        pattern = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, pattern)
        else:
            # Which apps there are is not the table's business.
            yield re.sub(r"(?<=app_label>)[^)]*", "…", pattern), entry


def all_routes() -> dict[str, URLPattern]:
    found: dict[str, URLPattern] = {}
    for pattern, entry in routes(get_resolver()):
        # The first one wins, as it does for callers.
        found.setdefault(pattern, entry)
    return found


def of_models() -> set[str]:
    pages = (*OF_A_MODEL, REDIRECT_TO_CHANGE)
    return {f"admin/{name.replace('.', '/')}/{page}" for name in MODELS for page in pages}


def test_no_route_is_undeclared() -> None:
    declared = {line.pattern for line in LINES} | of_models()
    assert sorted(all_routes().keys() - declared) == []


def test_no_line_is_about_nothing() -> None:
    assert sorted(({line.pattern for line in LINES} | of_models()) - all_routes().keys()) == []


def test_no_method_of_the_api_is_undeclared() -> None:
    declared = {(line.pattern, line.method) for line in LINES}
    undeclared = [
        (pattern, method.upper())
        for pattern, entry in all_routes().items()
        for method in METHODS
        if hasattr(getattr(entry.callback, "view_class", None) or getattr(entry.callback, "cls", None), method)
        and (pattern, method.upper()) not in declared
        and pattern not in of_models()
        # Django's own pages, which do with POST what they do with GET: check who it is.
        and not pattern.startswith("admin/")
    ]
    assert undeclared == []


def test_no_model_of_the_admin_is_undeclared() -> None:
    assert {model._meta.label_lower for model in admin.site._registry} == MODELS.keys()


# And everyone gets what is declared


def expected(line: Line) -> dict[str, int]:
    ok, who = line.ok, line.who
    statuses = dict.fromkeys(CAST, ok)
    if who in (Who.CALLERS, Who.LOGGED_IN, Who.OWNER, Who.STAFF):
        statuses["anonymous"] = 401
    if who in (Who.LOGGED_IN, Who.OWNER, Who.STAFF):
        statuses["charlie"] = 403
    if who is Who.OWNER:
        statuses |= dict.fromkeys(("bob", "clerk", "sara"), 404)
    if who in (Who.ACCOUNT, Who.ACCOUNT_OWNER):
        statuses |= dict.fromkeys(("anonymous", "charlie"), 302)
    if who is Who.ACCOUNT_OWNER:
        statuses |= dict.fromkeys(("bob", "clerk", "sara"), 404)
    if who is Who.STAFF:
        statuses |= dict.fromkeys(("alice", "bob"), 403)
    if who is Who.STAFF_PAGE:
        statuses |= dict.fromkeys(("anonymous", "alice", "bob", "charlie"), 302)
    return statuses | line.instead


def call(client: Client, line: Line, scene: dict[str, Any], name: str) -> Any:
    body = json.dumps(line.body or {}).replace("{person}", name)
    is_form = line.pattern.startswith("admin/") and line.body is None
    content_type = "application/x-www-form-urlencoded" if is_form else "application/json"
    data = body if line.method != "GET" and content_type == "application/json" else ""
    return client.generic(line.method, line.address.format(**scene), data, content_type)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.method} {line.pattern}")
def test_everyone_gets_what_is_declared(line: Line, cast: dict[str, Client], scene: dict[str, Any]) -> None:
    answers = {name: call(cast[name], line, scene, name).status_code for name in CAST}
    assert answers == expected(line)


@pytest.mark.parametrize("label", MODELS)
def test_everyone_gets_the_pages_of_a_model(label: str, cast: dict[str, Client]) -> None:
    base, may = f"/admin/{label.replace('.', '/')}/", MODELS[label]
    pages = {
        "": 200,
        "add/": 200 if "add" in may else 403,
        # Of an object that is not there: who may is led back to the list.
        "987654321/change/": 302,
        "987654321/delete/": 302 if "delete" in may else 403,
    }
    for page, status in pages.items():
        answers = {name: cast[name].get(base + page).status_code for name in CAST}
        assert answers == {**dict.fromkeys(CAST, 302), "clerk": 403, "sara": status}, page


@pytest.mark.parametrize("label", [label for label, may in MODELS.items() if "change" not in may])
def test_what_is_read_only_is_not_changed_by_posting(label: str, cast: dict[str, Client]) -> None:
    base = f"/admin/{label.replace('.', '/')}/"
    assert cast["sara"].post(f"{base}add/", {}).status_code == 403
    assert cast["sara"].post(base, {"action": "delete_selected", "_selected_action": ["1"]}).status_code in (200, 302)
    assert cast["sara"].post(f"{base}1/delete/", {"post": "yes"}).status_code == 403


# Beyond the table


@pytest.fixture
def helper(db: None) -> Client:
    """Staff who may edit customers."""
    helper = person("helper@example.dz", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    return both(helper)


def test_staff_who_edit_customers_make_nobody_staff(helper: Client, alice: User, sara: User) -> None:
    page = f"/admin/accounts/user/{alice.pk}/change/"
    form = {
        "email": alice.email,
        "language": "ar",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "api_keys-TOTAL_FORMS": "0",
        "api_keys-INITIAL_FORMS": "0",
    }
    assert helper.post(page, form).status_code == 302
    alice.refresh_from_db()
    assert (alice.language, alice.is_staff, alice.is_superuser) == ("ar", False, False)
    assert helper.post(f"/admin/accounts/user/{sara.pk}/change/", form).status_code == 403
    assert helper.get(f"/admin/accounts/user/{sara.pk}/password/").status_code == 403


def test_staff_who_edit_customers_act_on_no_other_staff(helper: Client, alice: User, sara: User) -> None:
    """The actions of the list come without the pages that ask who is edited."""
    key_of(alice), key_of(sara)
    chosen = {"_selected_action": [alice.pk, sara.pk], "reason": "a farm", "hours": 24}
    for action in ("revoke_api_keys", "suspend"):
        answer = helper.post("/admin/accounts/user/", {**chosen, "action": action}, follow=True)
        assert "restent tels quels" in answer.content.decode()
    assert list(ApiKey.objects.in_force().values_list("user", flat=True)) == [sara.pk]
    assert list(SoftBan.objects.values_list("user", flat=True)) == [alice.pk]
    SoftBan.objects.update(user=sara)
    helper.post("/admin/accounts/user/", {**chosen, "action": "lift"})
    assert SoftBan.objects.in_force(timezone.now()).exists()


def test_each_sees_the_own_usage_alone(cast: dict[str, Client], alice: User, bob: User) -> None:
    for user in (alice, bob):
        UsageLog.objects.create(user_id=user.pk, provider="groq", model=f"of {user.email}")
    for name, user in (("alice", alice), ("bob", bob)):
        models = [row["model"] for row in cast[name].get("/api/v2/usage").json()["results"]]
        assert models == [f"of {user.email}"]
    assert cast["charlie"].get("/api/v2/usage").json()["results"] == []
    # Nor by asking for another's.
    assert len(cast["bob"].get(f"/api/v2/usage?user_id={alice.pk}&user={alice.pk}").json()["results"]) == 1


def test_a_session_is_no_credential_of_the_api(sara: User) -> None:
    """So a page of another site cannot make a browser call the API in its user's name."""
    browser = Client()
    browser.force_login(sara)
    api = [line for line in LINES if line.who in (Who.CALLERS, Who.LOGGED_IN, Who.OWNER)]
    scene = {"key": 1, "alice": sara.pk}
    assert {call(browser, line, scene, "sara").status_code for line in api} == {401}


def content_of(page: str) -> dict[str, Any]:
    """Staff's API takes sessions too, and JSON alone."""
    return {"content_type": "application/json"} if page.endswith("/soft-ban") else {}


def test_every_page_that_takes_a_session_asks_for_the_csrf_token(sara: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(sara)
    taken = [
        line for line in LINES if line.pattern.startswith("admin/") or line.who in (Who.ACCOUNT, Who.ACCOUNT_OWNER)
    ]
    pages = [line.address.format(key=1, alice=1) for line in taken if line.method == "POST"]
    pages += [f"/admin/{label.replace('.', '/')}/add/" for label in MODELS]
    assert {page: browser.post(page, {}, **content_of(page)).status_code for page in pages} == dict.fromkeys(pages, 403)


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.who is Who.STAFF], ids=lambda line: f"{line.method} {line.pattern}"
)
def test_a_staff_password_alone_opens_no_route_of_staff(
    line: Line, scene: dict[str, Any], sara: User, settings: Any
) -> None:
    settings.STAFF_2FA = "required"
    assert call(bearer(str(AccessToken.for_user(sara))), line, scene, "sara").status_code == 403
    assert call(bearer(key_of(sara)), line, scene, "sara").status_code == 403
    browser = Client()
    browser.force_login(sara)
    assert call(browser, line, scene, "sara").headers["Location"].startswith("/admin/second-factor")
