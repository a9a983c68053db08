"""The purchase as a person makes it: what is shown before paying, the way to Chargily, what is found on the return."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing.entitlements import entitlements_for
from billing.links import renewal_link
from billing.models import PaymentTransaction, Tier, UserTier

pytestmark = pytest.mark.django_db


def browser(user: User | None = None) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    if user is not None:
        client.force_login(user)
    return client


def text(answer: Any) -> str:
    return str(answer.content.decode()).replace("\u00a0", " ")


def test_the_step_before_paying_shows_price_tax_and_what_it_gives(charlie: User, chargily: Any) -> None:
    page = text(browser(charlie).get("/account/buy/student"))
    for shown in ("1 336.13 DA", "253.87 DA", "1 590 DA", "TVA 19"):
        assert shown in page
    assert not PaymentTransaction.objects.exists()
    assert chargily.books.checkouts == {}


def test_what_is_left_of_another_tier_is_shown_converted(bob: User, chargily: Any) -> None:
    UserTier.objects.update(expires_at=timezone.now() + timedelta(days=20, minutes=5))
    page = text(browser(bob).get("/account/buy/pro"))
    # 20 days at 1590 are 12.28 days at 2590.
    assert "20 days" in page
    assert "12 days" in page


def test_paying_leads_to_chargily_and_back(charlie: User, chargily: Any, webhooks: Any) -> None:
    client = browser(charlie)
    gone = client.post("/account/buy/student", {"amount": "1590"})
    payment = PaymentTransaction.objects.get()
    assert (gone.status_code, gone["Location"]) == (302, payment.checkout_url)
    assert payment.language == "en"

    back = f"/payment/success?checkout_id={payment.checkout_id}"
    assert "Verifying" in text(client.get(back))
    assert entitlements_for(charlie.pk).tier == "free"

    webhooks.pay_and_tell(payment)
    page = text(client.get(back))
    assert "Paid. Thank you!" in page
    assert "/account/invoices/F-" in page
    assert 'http-equiv="refresh"' not in page


def test_the_return_grants_nothing_by_itself(charlie: User, begin: Any) -> None:
    payment = begin(charlie)
    for path in ("/payment/success", "/payment/failure", "/account/payment-state"):
        browser(charlie).get(path, {"checkout_id": payment.checkout_id})
    payment.refresh_from_db()
    assert payment.status == "pending"
    assert entitlements_for(charlie.pk).tier == "free"


def test_the_return_asks_chargily_when_no_webhook_came(charlie: User, begin: Any, webhooks: Any, travel: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    travel(10)
    state = browser().get("/account/payment-state", {"checkout_id": payment.checkout_id})
    assert state.json() == {"state": "paid"}


@pytest.mark.parametrize("query", ["", "?checkout_id=null", "?checkout_id="])
def test_without_an_id_it_is_ones_own_latest_payment(query: str, charlie: User, alice: User, begin: Any) -> None:
    payment = begin(charlie)
    assert payment.checkout_id in text(browser(charlie).get(f"/payment/success{query}"))
    assert "no such payment" in text(browser(alice).get(f"/payment/success{query}"))
    assert "no such payment" in text(browser().get(f"/payment/success{query}"))


@pytest.mark.parametrize("checkout_id", ["x" * 500, "01hxx", "%00", "' OR 1=1 --"])
def test_a_strange_id_is_unknown(checkout_id: str, charlie: User, begin: Any) -> None:
    begin(charlie)
    assert "no such payment" in text(browser(charlie).get(f"/payment/success?checkout_id={checkout_id}"))
    assert browser().get(f"/account/payment-state?checkout_id={checkout_id}").status_code == 404


def test_whoever_has_the_id_learns_the_state_and_nothing_more(
    charlie: User, alice: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment)
    for stranger in (None, alice):
        page = text(browser(stranger).get(f"/payment/success?checkout_id={payment.checkout_id}"))
        assert "has arrived" in page
        assert "F-" not in page
        assert charlie.email not in page


@pytest.mark.parametrize(
    ("status", "sentence"),
    [("failed", "refused or given up"), ("canceled", "refused or given up"), ("expired", "run out")],
)
def test_a_payment_that_was_not_made(status: str, sentence: str, charlie: User, begin: Any) -> None:
    payment = begin(charlie)
    PaymentTransaction.objects.update(status=status, next_check_at=None, checked_at=timezone.now())
    for path in ("/payment/failure", "/payment/success"):
        page = text(browser(charlie).get(path, {"checkout_id": payment.checkout_id}))
        assert sentence in page
        assert "/account/buy/student" in page


def test_money_that_came_after_all_wins_over_the_failure_page(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment)
    assert "Paid. Thank you!" in text(browser(charlie).get("/payment/failure", {"checkout_id": payment.checkout_id}))


def test_a_price_that_changed_is_shown_before_it_is_asked_for(charlie: User, chargily: Any) -> None:
    Tier.objects.filter(name="student").update(price_dzd=1790)
    answer = browser(charlie).post("/account/buy/student", {"amount": "1590"})
    assert answer.status_code == 409
    assert "1 790 DA" in text(answer)
    assert not PaymentTransaction.objects.exists()


@pytest.mark.parametrize("tier", ["free", "enterprise", "nothing"])
def test_what_cannot_be_bought(tier: str, charlie: User, chargily: Any) -> None:
    answer = browser(charlie).get(f"/account/buy/{tier}")
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/html; charset=utf-8")


def test_chargily_in_trouble_is_a_page(charlie: User, chargily: Any) -> None:
    chargily.books.faults.api = "500"
    answer = browser(charlie).post("/account/buy/student", {"amount": "1590"})
    assert answer.status_code == 502
    assert "Nothing was charged" in text(answer)


def test_without_a_key_of_chargily_the_page_says_so(charlie: User, settings: Any) -> None:
    settings.CHARGILY_SECRET_KEY = ""
    assert browser(charlie).post("/account/buy/student", {"amount": "1590"}).status_code == 503


def test_a_reminders_link_pays_for_its_user_without_a_login(charlie: User, chargily: Any) -> None:
    path = re.sub(r"^https?://[^/]+", "", renewal_link(user_id=charlie.pk, tier="student"))
    stranger = browser()
    page = stranger.get(path)
    assert page.status_code == 200
    assert charlie.email not in text(page)
    assert not PaymentTransaction.objects.exists(), "mail programs follow links: a GET makes no checkout"
    gone = stranger.post(path, {"amount": "1590"})
    payment = PaymentTransaction.objects.get()
    assert (payment.user_id, gone["Location"]) == (charlie.pk, payment.checkout_url)
    # It opens nothing else.
    assert stranger.get("/account").status_code == 302


def test_a_reminders_link_makes_a_fresh_checkout_when_the_last_has_expired(
    charlie: User, chargily: Any, travel: Any
) -> None:
    path = re.sub(r"^https?://[^/]+", "", renewal_link(user_id=charlie.pk, tier="student"))
    first = browser().post(path, {"amount": "1590"})["Location"]
    assert browser().post(path, {"amount": "1590"})["Location"] == first
    travel(40 * 60)
    assert browser().post(path, {"amount": "1590"})["Location"] != first


def test_a_link_that_is_forged_or_old_is_refused(charlie: User, travel: Any) -> None:
    path = re.sub(r"^https?://[^/]+", "", renewal_link(user_id=charlie.pk, tier="student"))
    assert browser().get(path[:-2] + "xx").status_code == 410
    assert browser().get("/renew/abc").status_code == 410
    travel(61 * 86400)
    assert browser().get(path).status_code == 410
