"""Beginning a purchase: one open checkout per person, tier and price, and nothing half done when Chargily fails."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing import checkout, subscriptions
from billing.errors import CheckoutBeingOpened, KeyRefused, TierOnQuote
from billing.gateways.chargily import Chargily
from billing.models import PaymentTransaction, Tier, UserTier
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db

MINUTE = 60


def opened(chargily: Any) -> int:
    return sum(method == "POST" for method, _path in chargily.books.calls)


def test_an_open_checkout_is_handed_out_again(charlie: User, begin: Any, chargily: Any, travel: Any) -> None:
    first = begin(charlie)
    travel(29 * MINUTE)
    assert begin(charlie) == first
    assert opened(chargily) == 1


def test_until_it_has_expired(charlie: User, begin: Any, travel: Any) -> None:
    first = begin(charlie)
    travel(30 * MINUTE + 1)
    second = begin(charlie)
    assert second.checkout_id != first.checkout_id
    first.refresh_from_db()
    assert first.status == "expired"


def test_it_has_expired_by_our_clock_when_chargily_is_away(
    charlie: User, begin: Any, chargily: Any, travel: Any
) -> None:
    first = begin(charlie)
    travel(31 * MINUTE)
    chargily.books.faults.api = "500"
    with pytest.raises(Exception, match="500"):
        begin(charlie)
    first.refresh_from_db()
    assert first.status == "expired"


def test_not_for_another_tier_or_price_or_person(charlie: User, bob: User, begin: Any) -> None:
    first = begin(charlie)
    assert begin(charlie, "pro") != first
    assert begin(bob) != first
    Tier.objects.filter(name="student").update(price_dzd=1990)
    assert begin(charlie).amount_dzd == 1990


def test_not_when_it_is_of_the_other_mode(charlie: User, begin: Any, chargily: Any, settings: Any) -> None:
    """A checkout of test mode takes no money: nobody is sent there once the server is live."""
    first = begin(charlie)
    settings.CHARGILY_MODE = "live"
    settings.CHARGILY_BASE_URL = f"{chargily.address}/api/v2"
    second = begin(charlie)
    assert (second.livemode, second.checkout_id != first.checkout_id) == (True, True)
    assert "/test/" not in second.checkout_url


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_not_once_it_is_closed_at_chargily(charlie: User, begin: Any, webhooks: Any, status: str) -> None:
    """Although its webhook was lost."""
    first = begin(charlie)
    webhooks.pay(first, status)
    assert begin(charlie) != first
    first.refresh_from_db()
    assert first.status == status


def test_one_that_is_paid_is_settled_instead(charlie: User, begin: Any, webhooks: Any, api: Any) -> None:
    webhooks.pay(begin(charlie))
    answer = api(charlie).post("/payment/subscribe/student")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_paid")
    assert subscriptions.status(user_id=charlie.pk).tier == "student"
    # And the next one is a renewal.
    assert api(charlie).post("/payment/subscribe/student").status_code == 200


def test_it_is_handed_out_while_chargily_is_away(charlie: User, begin: Any, chargily: Any) -> None:
    first = begin(charlie)
    chargily.books.faults.api = "500"
    assert begin(charlie) == first


@pytest.mark.usefixtures("committed")
def test_two_clicks_at_once(chargily: Any, begin: Any) -> None:
    from conftest import person

    charlie = person("charlie@example.dz")
    found, raised = at_once(8, lambda: begin(charlie))
    assert raised == []
    assert len({payment.checkout_id for payment in found}) == 1
    assert PaymentTransaction.objects.count() == 1
    assert opened(chargily) == 1


@pytest.mark.parametrize(
    ("fault", "status", "code", "kept"),
    [
        ("500", 502, "payment_failed", "broken (500)"),
        ("429", 503, "payments_unavailable", "busy (429)"),
        ("empty_401", 503, "payments_unavailable", "key_refused (401)"),
        ("timeout", 503, "payments_unavailable", "unreachable (timeout)"),
    ],
)
def test_chargily_fails(
    charlie: User, api: Any, chargily: Any, monkeypatch: Any, fault: str, status: int, code: str, kept: str
) -> None:
    monkeypatch.setattr("billing.gateways.chargily.READ_SECONDS", 0.2)
    chargily.books.faults.api, chargily.books.faults.timeout = fault, 0.5
    answer = api(charlie).post("/payment/subscribe/student")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    payment = PaymentTransaction.objects.get()
    assert (payment.status, payment.failure_code, payment.checkout_id) == ("failed", kept, None)
    # Sent once: a checkout made twice could be paid twice.
    assert opened(chargily) == 1
    # It is over with that: the next click begins afresh.
    chargily.books.faults.api = ""
    assert api(charlie).post("/payment/subscribe/student").status_code == 200


def test_it_says_when_to_come_back(charlie: User, api: Any, chargily: Any) -> None:
    chargily.books.faults.api = "429"
    assert api(charlie).post("/payment/subscribe/student")["Retry-After"] == "7"


def test_nobody_listens(charlie: User, api: Any, chargily: Any, settings: Any) -> None:
    settings.CHARGILY_BASE_URL = "http://127.0.0.1:1/test/api/v2"
    assert api(charlie).post("/payment/subscribe/student").status_code == 503
    assert PaymentTransaction.objects.get().failure_code == "unreachable (no_connection)"


def test_chargily_finds_fault_with_the_order(charlie: User, api: Any, chargily: Any, settings: Any) -> None:
    settings.FRONTEND_URL = "iafactory://app"
    assert api(charlie).post("/payment/subscribe/student").status_code == 502
    assert PaymentTransaction.objects.get().failure_code == "rejected (422, failure_url, success_url)"


def test_payments_are_not_configured(charlie: User, api: Any, settings: Any) -> None:
    settings.CHARGILY_SECRET_KEY = ""
    answer = api(charlie).post("/payment/subscribe/student")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "payments_not_configured")
    assert not PaymentTransaction.objects.exists()


def test_a_process_died_before_it_had_its_checkout(charlie: User, begin: Any, travel: Any, monkeypatch: Any) -> None:
    dead = PaymentTransaction.objects.create(user=charlie, tier_id="student", amount_dzd=1590)
    monkeypatch.setattr(checkout, "LOOKS", 3)
    with pytest.raises(CheckoutBeingOpened):
        begin(charlie)
    travel(31)
    assert begin(charlie) != dead
    dead.refresh_from_db()
    assert (dead.status, dead.failure_code) == ("failed", "abandoned")


# The page that the browser is sent to


@pytest.mark.parametrize(
    ("told", "safe"),
    [
        ("http://pay.chargily.dz", "https://pay.chargily.dz"),
        ("https://pay.chargily.net", "https://pay.chargily.net"),
        ("http://me@pay.chargily.dz:80", "https://pay.chargily.dz"),
        ("https://evil.example\\@pay.chargily.dz", "https://pay.chargily.dz"),
    ],
)
def test_the_page_is_upgraded_to_https(charlie: User, begin: Any, chargily: Any, told: str, safe: str) -> None:
    chargily.books.faults.page_address = told
    payment = begin(charlie)
    assert payment.checkout_url == f"{safe}/test/checkouts/{payment.checkout_id}/pay"


@pytest.mark.parametrize(
    "told",
    [
        "https://evil.example",
        "https://pay.chargily.dz.evil.example",
        "https://pay.chargily.dz@evil.example",
        "ftp://pay.chargily.dz",
        "javascript:alert(1)//pay.chargily.dz",
        "//pay.chargily.dz",
        "https://[",
    ],
)
def test_no_browser_is_sent_elsewhere(charlie: User, api: Any, chargily: Any, told: str) -> None:
    chargily.books.faults.page_address = told
    assert api(charlie).post("/payment/subscribe/student").status_code == 502
    assert PaymentTransaction.objects.get().failure_code == "unreadable (checkout_url)"


def test_in_production_our_own_host_is_elsewhere_too(charlie: User, api: Any, chargily: Any, settings: Any) -> None:
    settings.PRODUCTION = True
    assert api(charlie).post("/payment/subscribe/student").status_code == 502


# What is held already


def test_a_tier_on_quote_is_not_bought_away(charlie: User, api: Any, chargily: Any) -> None:
    UserTier.objects.create(user=charlie, tier_id="enterprise", expires_at=timezone.now() + timedelta(days=9))
    answer = api(charlie).post("/payment/subscribe/pro")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "tier_on_quote")
    with pytest.raises(TierOnQuote):
        subscriptions.quote(user_id=charlie.pk, tier="pro")


# The page that one comes back to


def test_it_asks_chargily_once_in_a_while(charlie: User, begin: Any, api: Any, webhooks: Any, travel: Any) -> None:
    payment = begin(charlie)
    caller, path = api(charlie), f"/payment/checkouts/{payment.checkout_id}"
    assert caller.get(path).json()["status"] == "pending"
    webhooks.pay(payment)
    asked = len(webhooks.chargily.books.calls)
    assert [caller.get(path).json()["status"] for _ in range(5)] == ["pending"] * 5
    assert len(webhooks.chargily.books.calls) == asked
    travel(6)
    body = caller.get(path).json()
    assert (body["status"], body["subscription"]["tier"], body["invoice"]) == ("paid", "student", "F-2026-000001")
    assert caller.get(path).json()["status"] == "paid"
    assert len(webhooks.chargily.books.calls) == asked + 1


def test_it_answers_while_chargily_is_away(charlie: User, begin: Any, api: Any, chargily: Any) -> None:
    payment = begin(charlie)
    chargily.books.faults.api = "500"
    assert api(charlie).get(f"/payment/checkouts/{payment.checkout_id}").json()["status"] == "pending"


@pytest.mark.parametrize("checkout_id", ["null", "%00", "a" * 100, "é", "01hj5n7cqpaf0mt2d0xx85tgz8"])
def test_a_checkout_that_is_not_there(charlie: User, api: Any, chargily: Any, checkout_id: str) -> None:
    assert api(charlie).get(f"/payment/checkouts/{checkout_id}").status_code == 404


def test_a_key_that_no_header_can_carry() -> None:
    with pytest.raises(KeyRefused, match="cannot be sent"):
        Chargily("http://127.0.0.1:9", "test_\u2013" + "1" * 40).try_key()
