"""From the click to the tier: the way of a payment when all goes well."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing.entitlements import entitlements_for
from billing.models import Invoice, PaymentTransaction, WebhookEvent

pytestmark = pytest.mark.django_db

THIRTY_DAYS = timedelta(days=30)


def near(found: Any, wanted: Any) -> bool:
    return bool(abs(found - wanted) < timedelta(seconds=30))


def test_buying_a_tier(
    charlie: User, api: Any, chargily: Any, webhooks: Any, django_capture_on_commit_callbacks: Any
) -> None:
    caller = api(charlie)
    assert caller.get("/payment/subscription/status").json() == {
        "tier": "free",
        "is_active": False,
        "subscribed_at": None,
        "expires_at": None,
        "days_remaining": None,
        "auto_renew": None,
    }
    body = caller.post("/payment/subscribe/student").json()
    assert (body["amount"], body["currency"], body["tier"]) == (1590, "dzd", "student")
    assert body["checkout_url"] == f"{chargily.address}/test/checkouts/{body['checkout_id']}/pay"

    payment = PaymentTransaction.objects.get(checkout_id=body["checkout_id"])
    assert entitlements_for(charlie.pk).tier == "free"
    with django_capture_on_commit_callbacks(execute=True):
        assert webhooks.pay_and_tell(payment).status_code == 200
    # In force at once in this process, which had just remembered `free`.
    assert entitlements_for(charlie.pk).tier == "student"

    status = caller.get("/payment/subscription/status").json()
    assert (status["tier"], status["is_active"], status["days_remaining"], status["auto_renew"]) == (
        "student",
        True,
        30,
        True,
    )
    payment.refresh_from_db()
    assert (payment.status, payment.payment_method, payment.next_check_at) == ("paid", "edahabia", None)
    assert payment.ends_at is not None
    assert near(payment.ends_at, timezone.now() + THIRTY_DAYS)
    invoice = Invoice.objects.get(payment=payment)
    assert (invoice.number, str(invoice.amount_ht), str(invoice.amount_tva), str(invoice.amount_ttc)) == (
        1,
        "1336.13",
        "253.87",
        "1590.00",
    )
    (row,) = caller.get("/payment/transactions").json()["results"]
    assert (row["status"], row["invoice"], row["checkout_url"]) == ("paid", invoice.reference, None)


def test_what_chargily_is_told(charlie: User, chargily: Any, begin: Any, settings: Any) -> None:
    settings.FRONTEND_URL = "https://iafactory.dz"
    settings.API_URL = "https://api.iafactory.dz/"
    payment = begin(charlie)
    told = chargily.books.checkouts[payment.checkout_id]
    assert (told["amount"], told["currency"], told["locale"]) == (1590, "dzd", "fr")
    assert told["success_url"] == "https://iafactory.dz/payment/success"
    assert told["failure_url"] == "https://iafactory.dz/payment/failure"
    assert told["webhook_endpoint"] == "https://api.iafactory.dz/payment/webhook/chargily"
    assert told["metadata"] == {"transaction_id": str(payment.pk)}


def test_a_laptop_is_not_named_to_the_real_chargily(settings: Any) -> None:
    from billing.checkout import _webhook_url

    settings.API_URL = "http://localhost:8000"
    settings.CHARGILY_BASE_URL = "https://pay.chargily.net/test/api/v2"
    assert _webhook_url() is None
    settings.CHARGILY_BASE_URL = "http://127.0.0.1:9000/test/api/v2"
    assert _webhook_url() == "http://localhost:8000/payment/webhook/chargily"


@pytest.mark.parametrize("tier", ["free", "enterprise", "gold", "%00", "pro student"])
def test_what_is_not_sold(charlie: User, api: Any, chargily: Any, tier: str) -> None:
    answer = api(charlie).post(f"/payment/subscribe/{tier}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "tier_not_for_sale")
    assert not PaymentTransaction.objects.exists()


def test_strangers_cannot_buy(client: Any, chargily: Any) -> None:
    assert client.post("/payment/subscribe/student").status_code == 401
    assert client.get("/payment/transactions").status_code == 401


def test_the_price_list_is_public(client: Any) -> None:
    plans = {plan["tier"]: plan for plan in client.get("/payment/plans").json()["plans"]}
    assert list(plans) == ["free", "student", "pro", "enterprise"]
    assert (plans["student"]["price_dzd"], plans["student"]["sold_online"]) == (1590, True)
    assert (plans["enterprise"]["price_dzd"], plans["enterprise"]["sold_online"]) == (None, False)


def test_payments_of_others_are_not_to_be_seen(alice: User, charlie: User, api: Any, begin: Any) -> None:
    payment = begin(alice)
    assert api(charlie).get("/payment/transactions").json()["results"] == []
    assert api(charlie).get(f"/payment/checkouts/{payment.checkout_id}").status_code == 404
    assert api(alice).get(f"/payment/checkouts/{payment.checkout_id}").status_code == 200


def test_payments_come_in_pages(alice: User, api: Any) -> None:
    for _ in range(3):
        PaymentTransaction.objects.create(user=alice, tier_id="pro", amount_dzd=2590, handed_out=False)
    first = api(alice).get("/payment/transactions", page_size=2).json()
    assert len(first["results"]) == 2
    second = api(alice).client.get(first["next"], headers=api(alice).headers).json()
    assert len(second["results"]) == 1
    assert second["next"] is None


def test_purchases_are_limited(charlie: User, api: Any, chargily: Any, settings: Any) -> None:
    settings.PAYMENT_LIMIT = "2/m"
    caller = api(charlie)
    answers = [caller.post("/payment/subscribe/student") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2]["Retry-After"]) > 0


def test_nothing_of_the_merchant_is_stored(charlie: User, begin: Any, webhooks: Any) -> None:
    webhooks.pay_and_tell(begin(charlie))
    event = WebhookEvent.objects.get()
    assert b"DECOY" in webhooks.event(event.payment)
    assert "DECOY" not in str(event.payload)
    assert event.payload["data"]["amount"] == 1590
