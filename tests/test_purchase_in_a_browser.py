"""Somebody signs up, buys, and sees the invoice: in Chromium, on the running product, with Chargily played over HTTP.

The pictures in var/screenshots/ are for people to look at.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from billing.models import Invoice, PaymentTransaction, UserTier
from billing.standin import ChargilyStandIn
from conftest import address_of_the_test_database, person, provider_settings
from tests.browser import NARROW, WIDE, Visitor
from tests.product import Product
from tests.standins.provider import ProviderStandIn

pytestmark = [pytest.mark.browser, pytest.mark.live, pytest.mark.timeout(300)]

# Put together, so that a search for secrets does not find one.
KEY = "test_" + "sk_" + "1" * 40
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def chargily() -> Iterator[ChargilyStandIn]:
    standin = ChargilyStandIn(KEY).start()
    yield standin
    standin.close()


@pytest.fixture(scope="module")
def running_product(
    django_db_setup: None, standin_server: ProviderStandIn, chargily: ChargilyStandIn
) -> Iterator[Product]:
    """In the place of conftest's: one that sells."""
    payments = {"CHARGILY_SECRET_KEY": KEY, "CHARGILY_BASE_URL": chargily.base_url}
    product = Product({"POSTGRES_URL": address_of_the_test_database(), **provider_settings(standin_server), **payments})
    yield product
    product.stop()


@pytest.fixture(autouse=True)
def fresh_chargily(chargily: ChargilyStandIn) -> None:
    chargily.books.reset()


def flawless(visitor: Visitor, chargily: ChargilyStandIn) -> bool:
    """Nothing on the console, and no request to another host but Chargily's own page."""
    strangers = [url for url in visitor.strangers if not url.startswith(chargily.address)]
    assert (visitor.complaints, strangers) == ([], [])
    return True


def sign_in(visitor: Visitor, email: str) -> Page:
    page = visitor.go("/sign-in")
    page.locator("[name=email]").fill(email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main form button").click()
    page.wait_for_url("**/account")
    return page


def test_sign_up_pay_and_see_the_invoice(
    product: Product, chargily: ChargilyStandIn, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(product.url)
    page = visitor.go("/")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    visitor.shoot("fr-1-home")

    page.locator(".tiers a[href$='/account/buy/student']").click()
    page.locator("main a[href^='/sign-up']").click()
    page.locator("[name=email]").fill("nadia@example.dz")
    page.locator("[name=password]").fill(PASSWORD)
    visitor.shoot("fr-2-sign-up")
    page.locator("main form button").click()

    page.wait_for_url("**/account/buy/student")
    expect(page.locator("main")).to_contain_text("1 590 DA")
    visitor.shoot("fr-3-before-paying")
    # The webhook is late: the browser is back first.
    chargily.books.faults.dropped = True
    page.locator("main form button").click()

    page.wait_for_url(f"{chargily.address}/**")
    payment = PaymentTransaction.objects.get()
    assert (payment.status, payment.amount_dzd, payment.language) == ("pending", 1590, "fr")
    assert payment.checkout_id is not None
    visitor.shoot("fr-4-chargily")
    # The page waits: back before the bank has said yes.
    page.goto(f"{product.url}/payment/success?checkout_id={payment.checkout_id}")
    expect(page.locator("#payment")).to_have_attribute("data-state", "pending")
    visitor.shoot("fr-5-verifying")
    assert UserTier.objects.filter(tier_id="student").count() == 0

    chargily.finish(payment.checkout_id, "paid")
    # No webhook came; the page asks, the server asks Chargily, and the page turns by itself.
    expect(page.locator("#payment")).to_have_attribute("data-state", "paid", timeout=30_000)
    visitor.shoot("fr-6-paid")

    page.locator("a[href*='/account/invoices/F-']").click()
    invoice = Invoice.objects.get()
    expect(page.locator("article")).to_contain_text(invoice.reference)
    expect(page.locator("article")).to_contain_text("mille cinq cent quatre-vingt-dix dinars algériens")
    visitor.shoot("fr-7-invoice")
    pdf = page.request.get(f"{product.url}/account/invoices/{invoice.reference}.pdf")
    assert (pdf.status, pdf.body()[:5]) == (200, b"%PDF-")

    visitor.go("/account")
    expect(page.locator("main")).to_contain_text("nadia@example.dz")
    visitor.shoot("fr-8-account")
    assert flawless(visitor, chargily)


def test_pay_on_the_hosted_page(
    product: Product, chargily: ChargilyStandIn, visit: Callable[..., Visitor], charlie: User
) -> None:
    """All by clicks, the webhook delivered over HTTP."""
    visitor = visit(product.url)
    page = sign_in(visitor, charlie.email)
    page.locator("main a[href$='/account/buy/student']").click()
    page.locator("main form button").click()
    page.wait_for_url(f"{chargily.address}/**")
    page.locator("button[value=pay]").click()
    page.wait_for_url("**/payment/success?**")
    expect(page.locator("#payment")).to_have_attribute("data-state", "paid", timeout=30_000)
    assert chargily.books.deliveries == [("checkout.paid", 200)]
    assert flawless(visitor, chargily)


def test_give_up_on_the_hosted_page(
    product: Product, chargily: ChargilyStandIn, visit: Callable[..., Visitor], charlie: User
) -> None:
    visitor = visit(product.url, language="en-GB")
    page = sign_in(visitor, charlie.email)
    visitor.go("/account/buy/pro")
    page.locator("main form button").click()
    page.wait_for_url(f"{chargily.address}/**")
    page.locator("button[value=cancel]").click()
    page.wait_for_url("**/payment/failure?**")
    expect(page.locator("#payment")).to_have_attribute("data-state", "canceled")
    visitor.shoot("fr-9-given-up")
    page.locator("a[href$='/account/buy/pro']").click()
    expect(page.locator("main form button")).to_be_visible()
    assert flawless(visitor, chargily)


@pytest.mark.parametrize("language", ["ar", "fr", "en"])
def test_every_page_in_every_language_wide_and_narrow(
    product: Product, chargily: ChargilyStandIn, visit: Callable[..., Visitor], language: str
) -> None:
    user = person("yasmine@example.dz", language=language)
    visitor = visit(product.url, language=language)
    looks(visitor, "/", language, "home")
    looks(visitor, "/sign-up", language, "sign-up")
    page = sign_in(visitor, user.email)
    looks(visitor, "/account/buy/student", language, "before-paying")
    page.locator("main form button").click()
    page.wait_for_url(f"{chargily.address}/**")
    checkout_id = page.url.split("/")[-2]
    looks(visitor, f"/payment/success?checkout_id={checkout_id}", language, "verifying")
    looks(visitor, f"/payment/failure?checkout_id={checkout_id}", language, "unfinished")
    looks(visitor, "/account", language, "pending")
    chargily.finish(checkout_id, "paid")
    visitor.go(f"/payment/success?checkout_id={checkout_id}")
    expect(page.locator("#payment")).to_have_attribute("data-state", "paid", timeout=30_000)
    looks(visitor, f"/payment/success?checkout_id={checkout_id}", language, "paid")
    looks(visitor, f"/account/invoices/{Invoice.objects.get().reference}", language, "invoice")
    looks(visitor, "/account/buy/pro", language, "change")
    looks(visitor, "/account", language, "account")
    page.locator("[name=name]").fill("laptop")
    page.locator("form[action^='/account/keys'] button.button").last.click()
    expect(page.locator("code.secret")).to_contain_text(re.compile(r"^iaf_\w{40}$"))
    visitor.shoot(f"{language}-new-key")
    assert flawless(visitor, chargily)


def looks(visitor: Visitor, path: str, language: str, name: str) -> None:
    page = visitor.go(path)
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("html")).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
    for width, word in ((NARROW, "narrow"), (WIDE, "wide")):
        page.set_viewport_size({"width": width, "height": 900})
        visitor.shoot(f"{language}-{name}-{word}")
        assert not visitor.is_wider_than_its_window(), f"{path} has to be scrolled sideways"


def test_without_a_script_the_page_refreshes(
    product: Product, chargily: ChargilyStandIn, browser: Any, charlie: User
) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=product.url)
    page = context.new_page()
    page.goto("/sign-in")
    page.locator("[name=email]").fill(charlie.email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main form button").click()
    page.goto("/account/buy/student")
    page.locator("main form button").click()
    page.wait_for_url(f"{chargily.address}/**")
    checkout_id = page.url.split("/")[-2]
    page.goto(f"/payment/success?checkout_id={checkout_id}")
    chargily.books.faults.dropped = True
    chargily.finish(checkout_id, "paid")
    expect(page.locator("#payment")).to_have_attribute("data-state", "paid", timeout=30_000)
    context.close()
