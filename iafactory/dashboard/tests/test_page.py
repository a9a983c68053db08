"""The page inside Django Admin: who sees it, what it says, and what its buttons do."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import SoftBan, User
from iafactory.dashboard import figures
from iafactory.keys import checking
from iafactory.keys.checking import Checked, Outcome, Verdict
from iafactory.keys.results import keep
from llmrouter.providers import registry
from usage import health
from usage.clock import today
from usage.errors import RedisAway
from usage.tests.rows import insert

from .conftest import pay, with_jwt

pytestmark = pytest.mark.django_db

PAGE = "/admin/dashboard"


def text_of(client: Client, path: str = PAGE, language: str = "en") -> str:
    """What is read of a page, on one line."""
    response = client.get(path, headers={"Accept": "text/html", "Accept-Language": language})
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())).replace("\xa0", " ")


def test_a_new_installation(at_the_admin: Client) -> None:
    said = text_of(at_the_admin)
    assert "0.0%" in said
    assert "Nothing has been spent yet today." in said
    assert "Nothing yet. The chart fills with the first calls." in said
    assert "No alert: everything is in order." in said
    assert "Nobody today." in said


def test_the_guides_figures(
    at_the_admin: Client, spend: Callable[[str], None], alice: User, bob: User, charlie: User
) -> None:
    spend("5.23")
    for user in (alice, bob, charlie):
        pay(user)
    said = text_of(at_the_admin, language="fr")
    assert "10,5 %" in said
    assert "5,23 $ sur 50,00 $" in said.replace("  ", " ")
    assert "44,77 $" in said
    assert "20,74 $" in said


def test_it_is_written_in_three_languages(at_the_admin: Client) -> None:
    for language, word, direction in (("fr", "fr", "ltr"), ("ar", "ar", "rtl"), ("en", "en", "ltr")):
        page = at_the_admin.get(PAGE, headers={"Accept-Language": language}).content.decode()
        assert f'lang="{word}" dir="{direction}"' in page


@pytest.mark.parametrize("period", ["today", "yesterday", "7d", "30d", "nonsense", "%00"])
def test_every_period(at_the_admin: Client, alice: User, period: str) -> None:
    for days in (0, 1, 5, 20):
        insert(alice.pk, "openrouter", 2**days, cost_usd="0.5", created_at=timezone.now() - timedelta(days=days)) if (
            days < 6
        ) else insert(alice.pk, rows=100, created_at=timezone.now() - timedelta(days=days))
    view = at_the_admin.get(f"{PAGE}?period={period}").context["view"]
    calls = {"yesterday": 2, "7d": 35, "30d": 135}.get(period, 1)
    assert view.totals.calls == calls
    assert sum(row.figures.calls for row in view.providers if row.figures) == calls
    assert sum(row.calls for row in view.tiers) == calls
    assert sum(row.user.calls for row in view.users) == calls


def test_every_figure_leads_to_its_rows(at_the_admin: Client, alice: User) -> None:
    insert(alice.pk, "openrouter", 301, cost_usd="0.01", tier="pro")
    insert(alice.pk, "groq", 2, error_flag=True, tier="pro")
    insert(alice.pk, "groq", 5, created_at=timezone.now() - timedelta(days=3))
    pay(alice)
    page = at_the_admin.get(f"{PAGE}?period=today").content.decode()
    found = {href.replace("&amp;", "&") for href in re.findall(r'href="(/admin/[^"]+\?[^"]+)"', page)}
    lists = {href for href in found if href.startswith("/admin/usage/usagelog/")}
    assert len(lists) > 24
    for href in found:
        # A filter that the list does not know sends the reader to the whole list.
        assert at_the_admin.get(href).status_code == 200, href
    (failed,) = [href for href in lists if "provider=groq" in href and "error_flag" in href]
    assert at_the_admin.get(failed).context["cl"].result_count == 2


def test_the_inner_part_alone(at_the_admin: Client) -> None:
    part = at_the_admin.get(f"{PAGE}?fragment=1&period=7d").content.decode()
    assert "<html" not in part
    assert 'class="budget-head"' in part


def test_nothing_that_a_content_policy_forbids(at_the_admin: Client, alice: User) -> None:
    insert(alice.pk, rows=301)
    part = at_the_admin.get(f"{PAGE}?fragment=1").content.decode()
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|javascript:|https?://(?!www\.w3\.org)", part)


def test_the_forecast() -> None:
    def at_noon(spent: str) -> figures.Forecast:
        noon = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
        return figures.Budget(
            day=noon.date(),
            now=noon,
            spent=Decimal(spent),
            held=Decimal(0),
            limit=Decimal(50),
            percent=Decimal(0),
            level="ok",
            paid_open=True,
        ).forecast

    assert at_noon("0") == figures.Forecast(None, Decimal(0))
    assert at_noon("5.23").reached_at is None
    assert round(at_noon("5.23").by_midnight, 2) == Decimal("10.46")
    # One cheap call: at this pace the cap lies beyond the last year that there is.
    assert at_noon("0.000001").reached_at is None
    reached = at_noon("40").reached_at
    # 40 in twelve hours: the 10 that are left last three.
    assert reached is not None
    assert reached.replace(microsecond=0) == datetime(2026, 3, 1, 14, 0, tzinfo=UTC)
    assert at_noon("60").reached_at == datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


def test_the_cap_is_reached(at_the_admin: Client, spend: Callable[[str], None]) -> None:
    spend("51.0")
    said = text_of(at_the_admin)
    assert "102.0%" in said
    assert "−$1.00" in said
    assert "The cap is reached" in said


def test_what_the_breakers_know(at_the_admin: Client, settings: Any) -> None:
    settings.ENVIRONMENT = {"GROQ_API_KEY": "gsk_one,gsk_two", "OPENROUTER_API_KEY": "sk-or-one"}
    registry.forget_connections()
    text_of(at_the_admin)
    groq = registry.connection("groq")
    assert groq is not None
    health.failed(groq.keys[0].subject, "key_refused", at_once=True)
    health.failed("openrouter", "server_error (500)", at_once=True)
    rows = {row.name: row for row in at_the_admin.get(PAGE).context["view"].providers}
    assert (rows["groq"].state, rows["groq"].keys_refused, rows["groq"].keys) == ("partly", 1, 2)
    assert (rows["openrouter"].state, rows["openrouter"].keys_refused) == ("resting", 0)
    page = at_the_admin.get(PAGE).content.decode()
    assert "gsk_" not in page
    assert "server_error (500)" in page


def test_what_the_nightly_check_knows(at_the_admin: Client, settings: Any) -> None:
    settings.ENVIRONMENT = {"GROQ_API_KEY": "gsk_one,gsk_two", "OPENROUTER_API_KEY": "sk-or-one"}
    registry.forget_connections()
    # All but the first.
    refused = checking.targets()[1:]
    keep([Checked(target, Verdict(Outcome.REFUSED, 401)) for target in refused], all_keys=True)
    rows = {row.name: row for row in at_the_admin.get(PAGE).context["view"].providers}
    assert (rows["groq"].state, rows["groq"].keys_refused, rows["groq"].keys) == ("partly", 1, 2)
    assert (rows["openrouter"].state, rows["openrouter"].keys_refused) == ("resting", 1)


def test_redis_away(at_the_admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any) -> None:
        raise RedisAway

    monkeypatch.setattr("usage.budget.counters", away)
    monkeypatch.setattr("usage.health.breakers_now", away)
    assert "Redis does not answer" in text_of(at_the_admin)


def test_a_ban_by_the_button_and_its_end(at_the_admin: Client, sara: User, alice: User) -> None:
    insert(alice.pk, rows=301)
    wanted = {"user_id": alice.pk, "reason": "301 messages", "hours": 72, "period": "7d"}
    answer = at_the_admin.post("/admin/dashboard/ban", wanted)
    assert answer.headers["Location"] == "/admin/dashboard?period=7d"
    ban = SoftBan.objects.get()
    assert (ban.user, ban.banned_by, ban.reason) == (alice, sara, "301 messages")
    assert f"{alice.email} is suspended." in text_of(at_the_admin)
    assert "Suspended now" in text_of(at_the_admin)
    at_the_admin.post("/admin/dashboard/lift", {"user_id": alice.pk})
    ban.refresh_from_db()
    assert ban.lifted_by == sara
    assert f"{alice.email} may chat again." in text_of(at_the_admin)


@pytest.mark.parametrize(
    "wanted", [{}, {"reason": "x"}, {"hours": 24}, {"reason": "x", "hours": 5}, {"reason": "x" * 201, "hours": 24}]
)
def test_a_ban_says_why_and_for_how_long(at_the_admin: Client, alice: User, wanted: dict[str, Any]) -> None:
    assert at_the_admin.post("/admin/dashboard/ban", {"user_id": alice.pk, **wanted}).status_code == 302
    assert not SoftBan.objects.exists()


@pytest.mark.parametrize("user_id", ["", "x", "0", "999999", "1" * 40])
def test_a_ban_of_nobody(at_the_admin: Client, user_id: str) -> None:
    wanted = {"user_id": user_id, "reason": "x", "hours": 24}
    assert at_the_admin.post("/admin/dashboard/ban", wanted).status_code == 404


def test_a_ban_from_the_list_of_users(at_the_admin: Client, alice: User, bob: User, sara: User) -> None:
    chosen = {"action": "suspend", "_selected_action": [alice.pk, bob.pk]}
    asked = at_the_admin.post("/admin/accounts/user/", chosen)
    assert alice.email in asked.content.decode()
    assert not SoftBan.objects.exists()
    at_the_admin.post("/admin/accounts/user/", {**chosen, "reason": "a farm", "hours": 24})
    assert set(SoftBan.objects.values_list("user_id", "banned_by", "reason")) == {
        (alice.pk, sara.pk, "a farm"),
        (bob.pk, sara.pk, "a farm"),
    }
    at_the_admin.post("/admin/accounts/user/", {"action": "lift", "_selected_action": [alice.pk]})
    assert SoftBan.objects.in_force(timezone.now()).get().user == bob


def test_who_may_see_it(alice: User, bob: User, charlie: User) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    for user in (None, alice, bob, charlie):
        client = Client(headers=browser)
        if user:
            client.force_login(user)
        answer = client.get(PAGE)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/?next=")
        wanted = {"user_id": bob.pk, "reason": "x", "hours": 24}
        assert client.post("/admin/dashboard/ban", wanted).status_code == 302
    assert not SoftBan.objects.exists()
    # A program with a session that is not staff's, and one with nothing at all.
    program = Client()
    program.force_login(alice)
    assert program.get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 401


def test_a_forged_form_bans_nobody(sara: User, alice: User) -> None:
    client = Client(enforce_csrf_checks=True, headers={"Accept": "text/html"})
    client.force_login(sara)
    client.post("/admin/dashboard/ban", {"user_id": alice.pk, "reason": "x", "hours": 24})
    assert not SoftBan.objects.exists()


def test_a_bearer_gets_json_also_from_a_browser(sara: User) -> None:
    answer = with_jwt(sara).get(PAGE, headers={"Accept": "text/html"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["date"] == today().isoformat()


def test_the_index_leads_here(at_the_admin: Client) -> None:
    assert at_the_admin.get("/admin/").headers["Location"] == PAGE
    page = at_the_admin.get(PAGE).content.decode()
    assert page.index(f'href="{PAGE}"') < page.index('href="/admin/accounts/user/"')


def test_the_language_is_switched(at_the_admin: Client) -> None:
    assert 'action="/i18n/setlang/"' in at_the_admin.get(PAGE).content.decode()
    answer = at_the_admin.post("/i18n/setlang/", {"language": "ar", "next": PAGE})
    assert answer.headers["Location"] == PAGE
    assert 'dir="rtl"' in at_the_admin.get(PAGE).content.decode()


def test_no_more_queries_for_more_rows(at_the_admin: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert at_the_admin.get(PAGE).status_code == 200
        return len(captured)

    # The first look of a process is its way to the counters, too.
    queries()
    insert(1, rows=301)
    few = queries()
    for user in range(2, 12):
        insert(user, "openrouter", rows=301, tier="pro")
    assert queries() == few
