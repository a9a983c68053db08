"""The admin, its login and the API's page in a browser, under a policy that forbids everything inline: nothing breaks,
nothing complains, nothing comes from another host."""

from collections.abc import Callable

import pytest
import requests

from accounts.models import User
from conftest import person
from tests.authenticator import code_from
from tests.browser import NARROW, WIDE, Visitor
from tests.product import Product

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

Visit = Callable[..., Visitor]


@pytest.fixture
def staff(product: Product, visit: Visit) -> Visitor:
    """Sara, logged in to the admin by hand."""
    person("sara@example.dz", is_staff=True, is_superuser=True)
    visitor = visit(product.url, language="en")
    log_in(visitor)
    return visitor


def log_in(visitor: Visitor) -> None:
    visitor.go("/admin/")
    visitor.page.fill("#id_username", "sara@example.dz")
    visitor.page.fill("#id_password", "correct horse battery")
    visitor.page.click("#login-form button")
    visitor.page.wait_for_load_state("networkidle")


def without_complaint(visitor: Visitor) -> None:
    assert ("\n".join(sorted(set(visitor.complaints))), visitor.strangers) == ("", [])


def test_the_index_lists_and_forms_of_the_admin(staff: Visitor) -> None:
    user = User.objects.get()
    pages = [
        "/admin/",
        "/admin/accounts/user/",
        f"/admin/accounts/user/{user.pk}/change/",
        "/admin/accounts/user/add/",
        f"/admin/accounts/user/{user.pk}/password/",
        "/admin/accounts/signup/",
        "/admin/accounts/staffaction/",
        "/admin/billing/usertier/add/",
        "/admin/billing/tier/pro/change/",
        "/admin/billing/tier/pro/history/",
        "/admin/billing/tier/student/delete/",
        "/admin/usage/usagelog/",
        "/admin/llmrouter/model/",
        "/admin/llmrouter/model/gpt-4o/change/",
        "/admin/password_change/",
    ]
    for page in pages:
        staff.go(page)
        staff.page.wait_for_load_state("networkidle")
        staff.shoot("admin" + page.replace("/", "-"))
    without_complaint(staff)


def test_the_docs(product: Product, visit: Visit) -> None:
    visitor = visit(product.url)
    visitor.go("/api/docs")
    visitor.page.wait_for_selector(".opblock-tag")
    visitor.page.click("[data-path='/api/v2/chat']")
    visitor.page.wait_for_selector(".opblock-body")
    visitor.shoot("docs")
    without_complaint(visitor)


def test_what_moves_in_the_admin(staff: Visitor) -> None:
    """The dark mode, the menu of the actions, the calendar of a date."""
    page = staff.go("/admin/accounts/user/")
    page.wait_for_load_state("networkidle")
    was_dark = page.evaluate("document.documentElement.classList.contains('dark')")
    page.evaluate("Alpine.$data(document.documentElement).switchTheme(%s)" % ("'light'" if was_dark else "'dark'"))
    page.wait_for_function(f"document.documentElement.classList.contains('dark') !== {str(was_dark).lower()}")
    page.check("#action-toggle")
    page.wait_for_selector("#changelist-actions", state="visible")
    staff.shoot("admin-dark-actions")
    page = staff.go("/admin/billing/usertier/add/")
    page.wait_for_load_state("networkidle")
    page.click(".datetimeshortcuts a[id^=calendarlink]")
    page.wait_for_selector(".calendarbox", state="visible")
    staff.shoot("admin-calendar")
    page.click(".calendarbox td a >> nth=10")
    assert page.input_value("input.vDateField")
    without_complaint(staff)


def test_the_second_factor_by_hand(product: Product, visit: Visit) -> None:
    person("sara@example.dz", is_staff=True, is_superuser=True)
    for language, width in (("fr", WIDE), ("ar", WIDE), ("en", WIDE), ("fr", NARROW), ("ar", NARROW)):
        visitor = visit(product.url, language=language, width=width)
        log_in(visitor)
        visitor.go("/admin/second-factor")
        visitor.shoot(f"second-factor-set-up-{language}-{width}")
        assert not visitor.is_wider_than_its_window()
        without_complaint(visitor)
    visitor.page.fill("#code", code_from(visitor.page.content()))
    visitor.page.click("button.go")
    assert visitor.page.locator(".codes li").count() == 10
    visitor.shoot("second-factor-codes")
    visitor.page.click("a.go")
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.page.url == f"{product.url}/admin/dashboard"
    other = visit(product.url, language="en", width=NARROW)
    log_in(other)
    assert "/admin/second-factor" in other.page.url
    other.page.fill("#code", "000000")
    other.page.click("button.go")
    other.page.wait_for_selector(".wrong")
    other.shoot("second-factor-wrong")
    without_complaint(visitor)


def test_the_headers_of_each_kind_of_answer(product: Product) -> None:
    page = requests.get(f"{product.url}/admin/login/", timeout=30).headers
    assert "unsafe-inline" not in page["Content-Security-Policy"]
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert (page["X-Content-Type-Options"], page["X-Frame-Options"]) == ("nosniff", "DENY")
    assert (page["Referrer-Policy"], page["Cross-Origin-Opener-Policy"]) == ("same-origin", "same-origin")
    assert "camera=()" in page["Permissions-Policy"]
    docs = requests.get(f"{product.url}/api/docs", timeout=30).headers["Content-Security-Policy"]
    assert "unsafe" not in docs
    data = requests.post(f"{product.url}/api/auth/login", json={}, timeout=30).headers
    assert data["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert data["Cache-Control"] == "no-store"
    chat = requests.post(f"{product.url}/api/v2/chat", json={}, timeout=30).headers
    assert chat["X-Content-Type-Options"] == "nosniff"


def test_other_sites_may_not_read_answers(product: Product) -> None:
    def allowed(origin: str, path: str = "/payment/transactions") -> str | None:
        answer = requests.options(
            f"{product.url}{path}",
            headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
            timeout=30,
        )
        assert "Access-Control-Allow-Credentials" not in answer.headers
        return answer.headers.get("Access-Control-Allow-Origin")

    assert allowed(product.url) == product.url
    assert allowed("https://evil.example") is None
    # The chat takes a key and no cookie, so any page may call it.
    assert allowed("https://elsewhere.example", "/api/v2/chat") == "https://elsewhere.example"
    assert allowed("null") is None
