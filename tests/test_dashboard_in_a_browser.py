"""Staff at a browser: they log in, read the guide's figures, suspend an abuser, and read it all in Arabic."""

import re
from collections.abc import Callable

import pytest
from django.db import connection
from playwright.sync_api import Page, expect

from accounts.models import SoftBan, User
from conftest import person
from iafactory.dashboard.tests.conftest import pay
from usage.redis import client
from usage.tests.rows import insert

from .browser import NARROW, Visitor
from .product import Product

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

Visit = Callable[..., Visitor]
PASSWORD = "correct horse battery"


@pytest.fixture
def abuser(product: Product) -> User:
    """A day of the guide's: three student sales, 5.23 dollars spent of 50, and one user with 320 messages."""
    buyers = [person(f"{name}@example.dz", "student") for name in ("amina", "karim", "lina")]
    for buyer in buyers:
        pay(buyer)
    nadia = person("nadia@example.dz", "pro")
    insert(nadia.pk, "groq", 320, tier="pro", latency_ms=420, tokens_input=120, tokens_output=380)
    the_month_before(buyers)
    client().set("budget:today:usd", "5.23")
    return nadia


def the_month_before(buyers: list[User]) -> None:
    """Something for the charts: more by day than by night, more this week than last month."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.42)")
        cursor.execute(
            """
            INSERT INTO llm_usage_logs (user_id, tier, provider, model, tokens_input, tokens_output, cost_usd,
                                        latency_ms, error_flag, created_at)
            SELECT (%s::bigint[])[1 + floor(random() * 3)], 'student', provider, provider || '-model',
                   random() * 300, random() * 900, CASE provider WHEN 'groq' THEN 0 ELSE random() * 0.006 END,
                   300 + 2400 * random() * random(), random() < 0.01,
                   now() - sqrt(random()) * random() * interval '29 days'
            FROM (SELECT (ARRAY['groq', 'groq', 'openrouter'])[1 + floor(random() * 3)] AS provider
                  FROM generate_series(1, 9000)) AS calls
            """,
            [[buyer.pk for buyer in buyers]],
        )
        cursor.execute(
            """
            INSERT INTO payment_transactions (user_id, tier, amount_dzd, dzd_per_usd, status, paid_at)
            SELECT (%s::bigint[])[1 + n %% 3], tier, CASE tier WHEN 'pro' THEN 2590 ELSE 1590 END, 230, 'paid',
                   now() - n * interval '1 day'
            FROM (SELECT n, CASE WHEN random() < 0.3 THEN 'pro' ELSE 'student' END AS tier
                  FROM generate_series(1, 28) AS n WHERE random() < 0.7) AS sales
            """,
            [[buyer.pk for buyer in buyers]],
        )


@pytest.fixture
def sara(product: Product) -> User:
    return person("sara@example.dz", is_staff=True, is_superuser=True)


def come_in(visitor: Visitor, who: User, path: str = "/admin/dashboard") -> Page:
    page = visitor.go(path)
    page.locator("input[name=username]").fill(who.email)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("[type=submit]").click()
    expect(page.locator("#dashboard")).to_be_visible()
    return page


def test_a_day_of_the_operator(product: Product, visit: Visit, sara: User, abuser: User) -> None:
    visitor = visit(product.url)
    page = come_in(visitor, sara)
    dashboard = page.locator("#dashboard")
    # What the guide counts: 5.23 of 50 is 10.5 %; three student sales are 20.74 dollars.
    expect(page.locator(".budget .big")).to_have_text(re.compile(r"10,5\s%"))
    expect(dashboard).to_contain_text(re.compile(r"5,23\s\$ sur 50,00\s\$"))
    expect(page.locator(".kpi").first).to_contain_text(re.compile(r"20,74\s\$"))
    visitor.shoot("dashboard-fr")

    page.locator("[data-tip]").nth(23).hover()
    expect(page.locator("#tip")).to_contain_text("groq")

    page.locator("details.ban summary").click()
    page.locator("details.ban input[name=reason]").fill("320 messages")
    visitor.shoot("dashboard-suspend")
    page.locator("details.ban button").click()
    expect(page.locator("#content")).to_contain_text(f"{abuser.email} est suspendu")
    ban = SoftBan.objects.get()
    assert (ban.user, ban.banned_by, ban.reason) == (abuser, sara, "320 messages")

    switch_to(page, sara, "العربيّة")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.locator(".budget h2")).to_have_text("ميزانية اليوم")
    visitor.shoot("dashboard-ar")

    assert visitor.complaints == []
    assert visitor.strangers == []


def switch_to(page: Page, who: User, language: str) -> None:
    """In the menu behind the name of whoever is logged in."""
    page.locator("#nav-sidebar").get_by_text(who.email).first.click()
    page.get_by_role("button", name=language).click()


def test_refreshed_in_place(product: Product, visit: Visit, sara: User) -> None:
    visitor = visit(product.url, language="en")
    visitor.page.clock.install()
    page = come_in(visitor, sara)
    expect(page.locator(".budget .big")).to_have_text("0.0%")
    page.evaluate("window.same = true")
    client().set("budget:today:usd", "46.15")
    page.clock.fast_forward(30_000)
    expect(page.locator(".budget .big")).to_have_text("92.3%")
    expect(page.locator(".alert-critical")).to_contain_text("92.3%")
    assert page.evaluate("window.same")
    assert visitor.complaints == []


@pytest.mark.parametrize(("language", "scheme"), [("fr", "light"), ("ar", "dark"), ("en", "dark")])
def test_on_a_telephone(product: Product, visit: Visit, sara: User, abuser: User, language: str, scheme: str) -> None:
    visitor = visit(product.url, language=language, width=NARROW)
    visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    come_in(visitor, sara)
    assert not visitor.is_wider_than_its_window()
    visitor.shoot(f"dashboard-narrow-{language}-{scheme}")
    assert visitor.complaints == []


def test_a_new_installation(product: Product, visit: Visit, sara: User) -> None:
    visitor = visit(product.url, language="en")
    page = come_in(visitor, sara)
    expect(page.locator("#dashboard")).to_contain_text("Nothing yet. The chart fills with the first calls.")
    visitor.shoot("dashboard-empty")
    assert visitor.complaints == []


def test_a_customer_is_shown_the_login(product: Product, visit: Visit, abuser: User) -> None:
    page = visit(product.url).go("/admin/dashboard")
    expect(page.locator("input[name=password]")).to_be_visible()
