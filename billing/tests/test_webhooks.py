"""Chargily's events: who is believed, what is kept, and what each kind of event comes to."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing import settlement, subscriptions
from billing.models import Invoice, PaymentTransaction, UserTier, WebhookEvent
from billing.webhooks import MOST_BYTES

pytestmark = pytest.mark.django_db


def edited(body: bytes, **changes: Any) -> bytes:
    """The event with fields changed; `data__x` is one of the checkout."""
    event = json.loads(body)
    for name, value in changes.items():
        where, name = (event["data"], name.removeprefix("data__")) if name.startswith("data__") else (event, name)
        where[name] = value
    return json.dumps(event).encode()


def outcome() -> str:
    return WebhookEvent.objects.get().outcome


# Who is believed


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", "sha256=abc", None])
def test_strangers_leave_no_row(charlie: User, begin: Any, webhooks: Any, signature: str | None) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    body = webhooks.event(payment)
    headers = {} if signature is None else {"signature": signature}
    answer = webhooks.client.post("/payment/webhook/chargily", body, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad_signature")
    assert not WebhookEvent.objects.exists()
    payment.refresh_from_db()
    assert payment.status == "pending"


def test_the_signature_is_over_the_very_bytes(charlie: User, begin: Any, webhooks: Any) -> None:
    body = webhooks.event(begin(charlie))
    signature = webhooks.chargily.books.signature(body)
    written_again = json.dumps(json.loads(body)).encode()
    assert written_again != body
    assert webhooks.send(written_again, signature).status_code == 401
    assert webhooks.send(body, signature.upper()).status_code == 200


def test_the_fact_sheets_vector(settings: Any) -> None:
    from billing.webhooks import verify

    settings.CHARGILY_SECRET_KEY = "test_" + "sk_" + "0" * 40
    settings.CHARGILY_WEBHOOK_SECRET = ""
    body = b'{"id":"01hjjjzf7wbc454te45mwx35fe","entity":"event","livemode":"false","type":"checkout.paid"}'
    verify(body, "2113dc9f06164d5065bda6975d264347ce0dba67e4c4c64896e412154530e47d")


def test_without_a_key_nobody_is_believed(settings: Any) -> None:
    import hashlib
    import hmac

    settings.CHARGILY_SECRET_KEY = settings.CHARGILY_WEBHOOK_SECRET = ""
    body = b'{"id": "x", "entity": "event", "type": "checkout.paid"}'
    signature = hmac.new(b"", body, hashlib.sha256).hexdigest()
    answer = Client().post(
        "/payment/webhook/chargily", body, content_type="application/json", headers={"signature": signature}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "payments_not_configured")
    assert not WebhookEvent.objects.exists()


def test_a_webhook_key_of_its_own_takes_the_place_of_the_secret_key(
    charlie: User, begin: Any, webhooks: Any, settings: Any
) -> None:
    body = webhooks.event(begin(charlie))
    settings.CHARGILY_WEBHOOK_SECRET = "another key entirely"
    assert webhooks.send(body).status_code == 401


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe", b"{" * 1000])
def test_signed_and_not_json(webhooks: Any, body: bytes) -> None:
    assert webhooks.send(body).status_code == 400
    assert not WebhookEvent.objects.exists()


def test_too_long_to_be_an_event(webhooks: Any) -> None:
    assert webhooks.send(b'"' + b"x" * MOST_BYTES + b'"').status_code == 400


# What each kind comes to


def test_paid(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    assert webhooks.pay_and_tell(payment).json() == {"received": True}
    event = WebhookEvent.objects.get()
    assert (event.outcome, event.payment, event.livemode) == ("applied", payment, False)
    assert event.processed_at is not None


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_not_paid(charlie: User, begin: Any, webhooks: Any, status: str) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment, status)
    payment.refresh_from_db()
    assert (payment.status, outcome()) == (status, "applied")
    assert not UserTier.objects.filter(user=charlie).exists()


def test_a_cancel_that_is_called_a_failure(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment, "canceled")
    webhooks.send(webhooks.event(payment, "checkout.failed"))
    payment.refresh_from_db()
    assert payment.status == "canceled"


def test_an_event_that_says_paid_when_nothing_is(charlie: User, begin: Any, webhooks: Any) -> None:
    """Signed even: what counts is the checkout."""
    payment = begin(charlie)
    assert webhooks.send(webhooks.event(payment, "checkout.paid")).status_code == 200
    payment.refresh_from_db()
    assert (payment.status, outcome()) == ("pending", "waiting")
    # The same event again, when it has become true.
    webhooks.pay(payment)
    body = edited(webhooks.event(payment), id=WebhookEvent.objects.get().event_id)
    assert webhooks.send(body).status_code == 200
    payment.refresh_from_db()
    assert (payment.status, outcome()) == ("paid", "applied")


def test_duplicates(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    body = webhooks.event(payment)
    assert [webhooks.send(body).status_code for _ in range(3)] == [200] * 3
    # Another event about the same success.
    assert webhooks.send(webhooks.event(payment)).status_code == 200
    first, second = WebhookEvent.objects.order_by("id")
    assert (first.deliveries, first.outcome, second.outcome) == (3, "applied", "unchanged")
    assert Invoice.objects.count() == 1
    assert subscriptions.status(user_id=charlie.pk).days_remaining == 30


def test_a_late_failure_after_the_success(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment)
    assert webhooks.send(webhooks.event(payment, "checkout.failed")).status_code == 200
    payment.refresh_from_db()
    assert payment.status == "paid"


@pytest.mark.parametrize("earlier", ["failed", "canceled", "expired"])
def test_money_wins_over_what_was_closed(charlie: User, begin: Any, webhooks: Any, earlier: str) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment, earlier)
    webhooks.chargily.books.checkouts[payment.checkout_id]["status"] = "paid"
    webhooks.send(webhooks.event(payment))
    payment.refresh_from_db()
    assert payment.status == "paid"
    assert subscriptions.status(user_id=charlie.pk).tier == "student"


def test_metadata_as_a_list(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.chargily.books.faults.metadata_as_list = True
    webhooks.pay(payment)
    body = webhooks.event(payment)
    assert json.loads(body)["data"]["metadata"] == [{"transaction_id": str(payment.pk)}]
    webhooks.send(body)
    assert outcome() == "applied"


@pytest.mark.parametrize("livemode", ["false", False, 0, "0", None, "perhaps"])
def test_livemode_however_it_is_written(charlie: User, begin: Any, webhooks: Any, livemode: Any) -> None:
    """Of the event it is only kept; the checkout's own is compared."""
    payment = begin(charlie)
    webhooks.pay(payment)
    webhooks.send(edited(webhooks.event(payment), livemode=livemode))
    payment.refresh_from_db()
    assert payment.status == "paid"


def test_a_checkout_that_is_not_ours(webhooks: Any, charlie: User, begin: Any) -> None:
    body = edited(webhooks.event(begin(charlie)), data__id="01hj0000000000000000000001")
    assert webhooks.send(body).status_code == 200
    assert outcome() == "foreign"


@pytest.mark.parametrize("kind", ["customer.created", "", "checkout", "payout.paid"])
def test_unknown_events(charlie: User, begin: Any, webhooks: Any, kind: str) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    assert webhooks.send(edited(webhooks.event(payment), type=kind)).status_code == 200
    payment.refresh_from_db()
    assert (payment.status, outcome()) == ("pending", "ignored")


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b"3", b'{"id": 5, "data": []}', b'{"id": null, "data": "x"}'])
def test_json_that_is_no_event(webhooks: Any, body: bytes) -> None:
    assert webhooks.send(body).status_code == 200
    assert webhooks.send(body).status_code == 200
    event = WebhookEvent.objects.get()
    assert (event.outcome, event.deliveries) == ("ignored", 2)


# Money that is not what we asked for


def test_an_amount_that_was_tampered_with(charlie: User, begin: Any, webhooks: Any, caplog: Any) -> None:
    payment = begin(charlie)
    webhooks.chargily.books.faults.amount = 50
    assert webhooks.pay_and_tell(payment).status_code == 200
    payment.refresh_from_db()
    assert (payment.status, payment.failure_code, outcome()) == ("mismatch", "mismatch: amount", "mismatch")
    assert "Error: payment mismatch" in caplog.text
    assert not UserTier.objects.filter(user=charlie).exists()
    assert not Invoice.objects.exists()


def test_an_amount_in_the_event_counts_for_nothing(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    webhooks.send(edited(webhooks.event(payment), data__amount=1))
    payment.refresh_from_db()
    assert (payment.status, payment.amount_dzd) == ("paid", 1590)


@pytest.mark.parametrize(
    ("name", "value"), [("currency", "usd"), ("currency", None), ("livemode", True), ("livemode", None), ("id", "x")]
)
def test_another_currency_mode_or_checkout(charlie: User, begin: Any, webhooks: Any, name: str, value: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    body = webhooks.event(payment)
    if name == "livemode":
        # It is found under the same address all the same.
        settled = settlement.apply(payment, truth_with(webhooks, payment, livemode=value))
        assert settled == settlement.Result.MISMATCH
    else:
        webhooks.chargily.books.checkouts[payment.checkout_id][name] = value
        assert webhooks.send(body).status_code == 200
    payment.refresh_from_db()
    assert payment.status == "mismatch"
    assert name in payment.failure_code


def truth_with(webhooks: Any, payment: PaymentTransaction, **changes: Any) -> Any:
    from billing.gateways.chargily import _checkout

    return _checkout({**webhooks.chargily.books.checkouts[payment.checkout_id], **changes})


def test_more_events_about_a_mismatch(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.chargily.books.faults.amount = 50
    webhooks.pay_and_tell(payment)
    webhooks.chargily.books.faults.amount = None
    assert webhooks.send(webhooks.event(payment)).status_code == 200
    payment.refresh_from_db()
    assert payment.status == "mismatch"
    assert {event.outcome for event in WebhookEvent.objects.all()} == {"mismatch"}


# What goes wrong inside


@pytest.mark.parametrize("fault", ["500", "429", "empty_401"])
def test_chargily_cannot_be_asked(charlie: User, begin: Any, webhooks: Any, fault: str) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    body = webhooks.event(payment)
    webhooks.chargily.books.faults.api = fault
    assert webhooks.send(body).status_code == 500
    event = WebhookEvent.objects.get()
    assert (event.outcome, event.processed_at) == ("failed", None)
    assert "Traceback" in event.traceback
    assert webhooks.chargily.books.key not in event.traceback
    # It comes again.
    webhooks.chargily.books.faults.api = ""
    assert webhooks.send(body).status_code == 200
    event.refresh_from_db()
    assert (event.outcome, event.traceback, event.deliveries) == ("applied", "", 2)
    payment.refresh_from_db()
    assert payment.status == "paid"


@pytest.mark.parametrize("step", ["billing.subscriptions.activate", "billing.invoices.issue"])
def test_a_failure_in_the_middle_undoes_all_of_it(
    charlie: User, begin: Any, webhooks: Any, monkeypatch: Any, step: str
) -> None:
    payment = begin(charlie)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(step, fail)
        assert webhooks.pay_and_tell(payment).status_code == 500
    payment.refresh_from_db()
    assert payment.status == "pending"
    assert "the disk is full" in WebhookEvent.objects.get().traceback
    assert not Invoice.objects.exists()
    assert subscriptions.status(user_id=charlie.pk).tier == "free"
    webhooks.send(webhooks.event(payment))
    assert Invoice.objects.get().number == 1


def test_a_webhook_before_our_own_row_is_settled_by_the_task(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    checkout_id = payment.checkout_id
    PaymentTransaction.objects.update(checkout_id=None)
    webhooks.pay(payment)
    webhooks.send(webhooks.event(payment))
    assert outcome() == "foreign"
    PaymentTransaction.objects.update(checkout_id=checkout_id)
    from billing.reconciliation import reconcile_all

    assert reconcile_all().results["applied"] == 1
