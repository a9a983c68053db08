"""What one process of the running product changes is in force at the next request in every other."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from accounts.models import ApiKey, User
from accounts.tokens import issue_tokens
from billing import refunds
from billing.models import PaymentTransaction, Tier, UserTier
from billing.standin import ChargilyStandIn
from billing.tests.conftest import KEY
from conftest import address_of_the_test_database, key_of, person, provider_settings
from iafactory.run import BASE
from tests.concurrency import at_once
from tests.product import Customer, Product
from tests.standins.provider import ProviderStandIn
from usage.bans import lift_ban, soft_ban

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

CALLS = 12


@pytest.fixture(scope="module")
def chargily_server() -> Iterator[ChargilyStandIn]:
    standin = ChargilyStandIn(KEY).start()
    yield standin
    standin.close()


@pytest.fixture(scope="module")
def running_product(
    django_db_setup: None, standin_server: ProviderStandIn, chargily_server: ChargilyStandIn
) -> Iterator[Product]:
    """In the place of conftest's: one that sells."""
    payments = {"CHARGILY_SECRET_KEY": KEY, "CHARGILY_BASE_URL": chargily_server.base_url}
    product = Product(
        {
            "POSTGRES_URL": address_of_the_test_database(),
            "USAGE_TICK_SECONDS": "0.1",
            **provider_settings(standin_server),
            **payments,
        },
        workers=3,
    )
    yield product
    product.stop()


@pytest.fixture
def chargily(product: Product, chargily_server: ChargilyStandIn, settings: Any) -> ChargilyStandIn:
    chargily_server.books.reset()
    settings.CHARGILY_SECRET_KEY, settings.CHARGILY_BASE_URL = KEY, chargily_server.base_url
    return chargily_server


def everywhere(customer: Customer, **body: Any) -> list[requests.Response]:
    """A chat over each of several connections, so that every worker is asked."""
    return [
        customer.post("/api/v2/chat", {"prompt": "Bonjour", **body}, headers={"Connection": "close"})
        for _ in range(CALLS)
    ]


def outcomes(answers: list[requests.Response]) -> set[Any]:
    """Of each answer the daily limit that it was served by, or why it was refused."""
    bodies = [answer.json() for answer in answers]
    return {body["quota"]["limit"] if "quota" in body else body["error"]["code"] for body in bodies}


def what_is_shown(customer: Customer) -> set[str]:
    """The tier, by every page of the API that tells it, in every worker."""
    paths = ("/api/auth/me", "/api/v2/models", "/api/v2/usage/today", "/payment/subscription/status")
    return {answer.json()["tier"] for path in paths for answer in customer.get_anew(path, CALLS)}


def pay(product: Product, chargily: ChargilyStandIn, customer: Customer, tier: str) -> None:
    bought = customer.post(f"/payment/subscribe/{tier}")
    assert bought.status_code == 200, bought.text
    checkout = chargily.books.change(bought.json()["checkout_id"], "paid")
    assert checkout is not None
    body = chargily.books.event(checkout, "checkout.paid")
    headers = {"Content-Type": "application/json", "signature": chargily.books.signature(body)}
    told = requests.post(f"{product.url}/payment/webhook/chargily", data=body, headers=headers, timeout=60)
    assert told.status_code == 200, told.text


def test_customer_who_pays_and_is_refunded(product: Product, chargily: ChargilyStandIn) -> None:
    user = person("alice@example.dz")
    alice = Customer(product, issue_tokens(user).access)
    assert outcomes(everywhere(alice)) == {3, "quota_exceeded"}
    assert what_is_shown(alice) == {"free"}
    assert outcomes(everywhere(alice)) == {"quota_exceeded"}
    pay(product, chargily, alice, "pro")
    assert outcomes(everywhere(alice)) == {400}
    assert what_is_shown(alice) == {"pro"}
    sara = person("sara@example.dz", is_staff=True)
    refunds.refund(PaymentTransaction.objects.get(), by=sara, reason="asked for")
    assert outcomes(everywhere(alice)) == {"quota_exceeded"}
    assert what_is_shown(alice) == {"free"}


def test_model_that_was_locked_is_open_once_it_is_paid(product: Product, chargily: ChargilyStandIn) -> None:
    alice = Customer(product, issue_tokens(person("alice@example.dz")).access)
    locked = {model["id"] for model in alice.get("/api/v2/models").json()["models"] if model["locked"]}
    assert "gpt-4o" in locked
    alice.get_anew("/api/v2/models", CALLS)
    pay(product, chargily, alice, "pro")
    for answer in alice.get_anew("/api/v2/models", CALLS):
        assert not {model["id"] for model in answer.json()["models"] if model["locked"]}
    assert {answer.json()["provider"] for answer in everywhere(alice, model="gpt-4o")} == {"openrouter"}


def test_revoked_key(product: Product) -> None:
    user = person("alice@example.dz", "enterprise")
    alice, herself = Customer(product, key_of(user)), Customer(product, issue_tokens(user).access)
    assert outcomes(everywhere(alice)) == {10000}
    revoked = herself.session.delete(f"{product.url}/api/auth/keys/{ApiKey.objects.get().pk}", timeout=60)
    assert revoked.status_code == 204
    assert outcomes(everywhere(alice)) == {"invalid_credentials"}
    assert {answer.status_code for answer in alice.get_anew("/api/auth/me", CALLS)} == {401}


def test_new_password_ends_every_token(product: Product) -> None:
    user = person("alice@example.dz", "enterprise")
    alice = Customer(product, issue_tokens(user).access)
    assert outcomes(everywhere(alice)) == {10000}
    user.set_password("correct horse staple")
    user.save()
    assert outcomes(everywhere(alice)) == {"invalid_credentials"}
    assert {answer.status_code for answer in alice.get_anew("/api/v2/models", CALLS)} == {401}


def test_closed_account(product: Product) -> None:
    alice = Customer(product, key_of(person("alice@example.dz", "enterprise")))
    assert outcomes(everywhere(alice)) == {10000}
    User.objects.filter(email="alice@example.dz").update(is_active=False)
    assert outcomes(everywhere(alice)) == {"invalid_credentials"}
    User.objects.filter(email="alice@example.dz").update(is_active=True)
    assert outcomes(everywhere(alice)) == {10000}


def test_ban_and_its_end(product: Product) -> None:
    user = person("alice@example.dz", "enterprise")
    alice = Customer(product, key_of(user))
    assert outcomes(everywhere(alice)) == {10000}
    soft_ban(user=user, reason="farming", by=None)
    assert outcomes(everywhere(alice)) == {"banned"}
    lift_ban(user=user, by=None)
    assert outcomes(everywhere(alice)) == {10000}


def test_tier_that_staff_edit_or_a_command_puts_back(product: Product) -> None:
    alice = Customer(product, key_of(person("alice@example.dz", "enterprise")))
    assert outcomes(everywhere(alice)) == {10000}
    Tier.objects.filter(name="enterprise").update(messages_per_day=777)
    assert outcomes(everywhere(alice)) == {777}
    # A process that serves nobody announces as well.
    command = [sys.executable, "manage.py", "load_tiers", "--reset", "--skip-checks"]
    subprocess.run(command, cwd=BASE, env=product.environment, check=True, capture_output=True)
    assert outcomes(everywhere(alice)) == {10000}


def test_changes_under_load(product: Product) -> None:
    """Ten callers all the time, and a change between two rounds: no answer of a round is by the tier of the one before.
    The others' tiers stay what they are."""
    limits = dict(Tier.objects.values_list("name", "messages_per_day"))
    Tier.objects.update(requests_per_minute=100_000)
    user, other = person("alice@example.dz", "pro"), person("bob@example.dz", "student")
    hers, his = key_of(user), key_of(other)
    for number in range(12):
        tier = ("enterprise", "pro")[number % 2]
        UserTier.objects.filter(user=user).update(tier_id=tier)
        answers, raised = at_once(10, lambda: Customer(product, hers).chat())
        assert raised == []
        assert outcomes(answers) == {limits[tier]}
        assert outcomes([Customer(product, his).chat()]) == {limits["student"]}
