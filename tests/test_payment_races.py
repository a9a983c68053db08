"""Payments at the running server: one event many times, different ones, pages and the command, at one instant."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.utils import timezone

from accounts.models import User
from accounts.tokens import issue_tokens
from billing import reconciliation
from billing.models import Invoice, PaymentTransaction, UserTier, WebhookEvent
from billing.standin import ChargilyStandIn
from billing.tests.conftest import KEY
from conftest import address_of_the_test_database, person
from tests.concurrency import at_once
from tests.product import Customer, Product

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

COPIES = 8


@pytest.fixture(scope="module")
def chargily_server() -> Iterator[ChargilyStandIn]:
    standin = ChargilyStandIn(KEY).start()
    yield standin
    standin.close()


@pytest.fixture(scope="module")
def shop(django_db_setup: None, chargily_server: ChargilyStandIn) -> Iterator[Product]:
    product = Product(
        {
            "POSTGRES_URL": address_of_the_test_database(),
            "CHARGILY_SECRET_KEY": KEY,
            "CHARGILY_BASE_URL": chargily_server.base_url,
            "PAYMENT_LIMIT": "10000/m",
        }
    )
    yield product
    product.stop()


@pytest.fixture
def chargily(shop: Product, chargily_server: ChargilyStandIn, transactional_db: None, settings: Any) -> ChargilyStandIn:
    call_command("load_tiers", verbosity=0)
    chargily_server.books.reset()
    settings.CHARGILY_SECRET_KEY, settings.CHARGILY_BASE_URL = KEY, chargily_server.base_url
    return chargily_server


def deliver(shop: Product, chargily: ChargilyStandIn, body: bytes) -> int:
    headers = {"Content-Type": "application/json", "signature": chargily.books.signature(body)}
    return requests.post(f"{shop.url}/payment/webhook/chargily", data=body, headers=headers, timeout=60).status_code


def all_at_once(actions: list[Callable[[], Any]]) -> list[Any]:
    """Each in a thread of its own, let go together."""
    turn, lock = iter(actions), threading.Lock()

    def act() -> Any:
        with lock:
            action = next(turn)
        return action()

    done, raised = at_once(len(actions), act)
    assert raised == []
    return done


def bought(customer: Customer, tier: str = "student") -> dict[str, Any]:
    answer = customer.post(f"/payment/subscribe/{tier}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_one_payment_many_events(shop: Product, chargily: ChargilyStandIn) -> None:
    user = person("alice@example.dz")
    alice = Customer(shop, issue_tokens(user).access)
    checkout_id = bought(alice)["checkout_id"]
    checkout = chargily.books.change(checkout_id, "paid")
    assert checkout is not None
    same = chargily.books.event(checkout, "checkout.paid")
    kinds = ["checkout.paid", "checkout.failed", "checkout.expired", "checkout.canceled"]
    others = [chargily.books.event(checkout, kind) for kind in kinds * 2]
    page = f"/payment/checkouts/{checkout_id}"
    answers = all_at_once(
        [
            *[lambda: deliver(shop, chargily, same)] * COPIES,
            *[lambda body=body: deliver(shop, chargily, body) for body in others],
            *[lambda: alice.get(page).status_code] * 4,
            *[lambda: reconciliation.reconcile_all() and 200] * 3,
        ]
    )
    assert Counter(answers) == {200: len(answers)}
    # One grant, one invoice number, thirty days.
    payment = PaymentTransaction.objects.get()
    assert payment.status == "paid"
    assert [invoice.number for invoice in Invoice.objects.all()] == [1]
    held = UserTier.objects.get(user=user)
    assert held.tier_id == "student"
    assert held.expires_at is not None
    assert abs(held.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=5)
    # Every event is kept once; the copies are counted.
    assert WebhookEvent.objects.count() == 1 + len(others)
    assert WebhookEvent.objects.order_by("-deliveries").values_list("deliveries", flat=True)[0] == COPIES
    assert not WebhookEvent.objects.filter(processed_at=None).exists()
    assert Customer(shop, issue_tokens(user).access).get("/payment/subscription/status").json()["days_remaining"] == 30


def test_many_payments_at_once(shop: Product, chargily: ChargilyStandIn) -> None:
    """Of three people, each for two tiers: every one is granted once, and the numbers have no gap."""
    users = [person(f"user{number}@example.dz") for number in range(3)]
    bodies = []
    for user in users:
        customer = Customer(shop, issue_tokens(user).access)
        for tier in ("student", "pro"):
            checkout = chargily.books.change(bought(customer, tier)["checkout_id"], "paid")
            assert checkout is not None
            bodies += [chargily.books.event(checkout, "checkout.paid") for _ in range(2)]
    answers = all_at_once(
        [lambda body=body: deliver(shop, chargily, body) for body in bodies * 2]  # type: ignore[misc]
    )
    assert Counter(answers) == {200: len(answers)}
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]
    for user in users:
        assert_both_are_granted(user)


def assert_both_are_granted(user: User) -> None:
    """Whichever was applied first: thirty days of the dearer tier, and of it what the other one paid for."""
    cheap, dear = PaymentTransaction.objects.filter(user=user).order_by("amount_dzd")
    assert (cheap.status, dear.status) == ("paid", "paid")
    converted = timedelta(days=30) * cheap.amount_dzd / dear.amount_dzd
    held = UserTier.objects.get(user=user)
    assert held.tier_id == dear.tier_id
    assert held.expires_at is not None
    assert abs(held.expires_at - timezone.now() - timedelta(days=30) - converted) < timedelta(minutes=5)


def test_many_clicks_open_one_checkout(shop: Product, chargily: ChargilyStandIn) -> None:
    key = issue_tokens(person("alice@example.dz")).access
    found = all_at_once([lambda: bought(Customer(shop, key))["checkout_id"]] * 12)
    assert len(set(found)) == 1
    assert len(chargily.books.checkouts) == 1
    assert PaymentTransaction.objects.count() == 1


def test_a_tier_is_in_force_everywhere_within_five_seconds(shop: Product, chargily: ChargilyStandIn) -> None:
    import time

    alice = Customer(shop, issue_tokens(person("alice@example.dz")).access)
    # Both workers remember `free`.
    assert {answer.json()["tier"] for answer in alice.get_anew("/api/auth/me")} == {"free"}
    checkout = chargily.books.change(bought(alice, "pro")["checkout_id"], "paid")
    assert checkout is not None
    assert deliver(shop, chargily, chargily.books.event(checkout, "checkout.paid")) == 200
    time.sleep(5)
    assert {answer.json()["tier"] for answer in alice.get_anew("/api/auth/me")} == {"pro"}


def test_the_whole_way_through_the_page(shop: Product, chargily: ChargilyStandIn) -> None:
    """The hosted page sends the webhook itself, and the browser back, which asks what became of it."""
    alice = Customer(shop, issue_tokens(person("alice@example.dz")).access)
    body = bought(alice)
    chargily.books.checkouts[body["checkout_id"]]["webhook_endpoint"] = f"{shop.url}/payment/webhook/chargily"
    chargily.books.faults.copies = 3
    chargily.books.faults.reordered = True
    back = requests.post(body["checkout_url"], data={"action": "pay"}, allow_redirects=False, timeout=30)
    assert back.headers["Location"] == f"{shop.url}/payment/success?checkout_id={body['checkout_id']}"
    for _ in range(60):
        if len(chargily.books.deliveries) == 4:
            break
        threading.Event().wait(0.1)
    assert chargily.books.deliveries == [("checkout.paid", 200)] * 3 + [("checkout.failed", 200)]
    found = alice.get(f"/payment/checkouts/{body['checkout_id']}").json()
    assert (found["status"], found["subscription"]["days_remaining"]) == ("paid", 30)
