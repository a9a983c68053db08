"""No webhook at all: the task, with back-off, and the command, without."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from billing import reconciliation, subscriptions, tasks
from billing.models import PaymentTransaction

pytestmark = pytest.mark.django_db

MINUTE = 60
HOUR = 3600


def run(*options: str) -> str:
    output = StringIO()
    call_command("reconcile_payments", *options, stdout=output)
    return output.getvalue()


def fetches(chargily: Any) -> int:
    return sum(method == "GET" for method, _path in chargily.books.calls)


def status_of(payment: PaymentTransaction) -> str:
    payment.refresh_from_db()
    return payment.status


def test_what_no_webhook_told_of_is_settled(charlie: User, begin: Any, webhooks: Any, travel: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    tasks.reconcile_payments()
    assert status_of(payment) == "pending"
    travel(MINUTE + 1)
    tasks.reconcile_payments()
    assert status_of(payment) == "paid"
    assert subscriptions.status(user_id=charlie.pk).tier == "student"


def test_with_back_off(charlie: User, begin: Any, chargily: Any, travel: Any) -> None:
    payment = begin(charlie)
    for _ in range(16 * 6):
        travel(10)
        tasks.reconcile_payments()
    # After 1, 1, 2, 4 and 8 minutes.
    assert fetches(chargily) == 5
    assert status_of(payment) == "pending"


def test_what_chargily_closed_is_closed(charlie: User, begin: Any, chargily: Any, travel: Any) -> None:
    payment = begin(charlie)
    travel(31 * MINUTE)
    tasks.reconcile_payments()
    assert status_of(payment) == "expired"


def test_money_that_comes_days_later_is_found(charlie: User, begin: Any, webhooks: Any, travel: Any) -> None:
    payment = begin(charlie)
    travel(31 * MINUTE)
    tasks.reconcile_payments()
    webhooks.chargily.books.checkouts[payment.checkout_id]["status"] = "paid"
    for _ in range(12):
        travel(6 * HOUR)
        tasks.reconcile_payments()
    assert status_of(payment) == "paid"


def test_for_72_hours_and_no_longer(charlie: User, begin: Any, chargily: Any, travel: Any) -> None:
    payment = begin(charlie)
    for _ in range(20):
        travel(6 * HOUR)
        tasks.reconcile_payments()
    assert status_of(payment) == "expired"
    assert payment.next_check_at is None
    asked = fetches(chargily)
    travel(30 * 24 * HOUR)
    tasks.reconcile_payments()
    assert fetches(chargily) == asked


def test_a_customer_at_the_banks_page_is_waited_for(charlie: User, begin: Any, chargily: Any, travel: Any) -> None:
    payment = begin(charlie)
    chargily.books.checkouts[payment.checkout_id]["status"] = "processing"
    travel(2 * HOUR)
    run()
    assert status_of(payment) == "pending"
    travel(23 * HOUR)
    run()
    assert status_of(payment) == "expired"


def test_a_status_that_nobody_knows_grants_nothing(charlie: User, begin: Any, chargily: Any, caplog: Any) -> None:
    payment = begin(charlie)
    chargily.books.checkouts[payment.checkout_id]["status"] = "succeeded"
    run()
    assert status_of(payment) == "pending"
    assert "which is unknown" in caplog.text


def test_a_checkout_that_chargily_forgot(charlie: User, begin: Any, chargily: Any, travel: Any) -> None:
    payment = begin(charlie)
    chargily.books.checkouts.clear()
    run()
    assert status_of(payment) == "pending"
    travel(36 * MINUTE)
    run()
    assert (status_of(payment), payment.failure_code) == ("expired", "no_such_checkout")


def test_one_that_never_had_a_checkout(charlie: User, chargily: Any, travel: Any) -> None:
    payment = PaymentTransaction.objects.create(user=charlie, tier_id="pro", amount_dzd=2590)
    travel(36 * MINUTE)
    run()
    assert (status_of(payment), payment.failure_code) == ("expired", "abandoned")
    assert fetches(chargily) == 0


def test_one_of_the_other_mode_is_not_asked_after(charlie: User, begin: Any, webhooks: Any, settings: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    settings.CHARGILY_MODE = "live"
    run()
    assert status_of(payment) == "pending"


def test_the_command_asks_after_all_at_once(alice: User, bob: User, charlie: User, begin: Any, webhooks: Any) -> None:
    paid, failed, waiting = begin(alice), begin(bob), begin(charlie)
    webhooks.pay(paid)
    webhooks.pay(failed, "failed")
    assert run("--dry-run").splitlines()[-1] == "Payments that would be asked after: 3 (dry run)."
    assert status_of(paid) == "pending"
    assert run() == (
        "Payments asked after: 3. Applied 1, closed 1, mismatch 0, still waiting 1, unchanged 0, failed 0.\n"
    )
    assert (status_of(paid), status_of(failed), status_of(waiting)) == ("paid", "failed", "pending")
    # Whatever the back-off: at once again.
    assert run().startswith("Payments asked after: 1.")


def test_the_command_says_when_chargily_is_away(charlie: User, begin: Any, chargily: Any) -> None:
    begin(charlie)
    chargily.books.faults.api = "500"
    with pytest.raises(CommandError, match=r"broken \(500\) x 1"):
        run()


def test_the_command_says_when_there_is_no_key(settings: Any) -> None:
    settings.CHARGILY_SECRET_KEY = ""
    with pytest.raises(CommandError, match="CHARGILY_SECRET_KEY"):
        run()
    tasks.reconcile_payments()


def test_chargily_is_not_hammered_when_it_is_away(
    alice: User, bob: User, charlie: User, begin: Any, chargily: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("billing.gateways.chargily.BETWEEN_TRIES_SECONDS", 0)
    for user in (alice, bob, charlie):
        begin(user), begin(user, "pro")
    chargily.books.faults.api = "500"
    report = reconciliation.reconcile_all()
    assert (report.failures.total(), report.left) == (3, 3)


def test_one_that_cannot_be_applied_does_not_stop_the_others(
    alice: User, bob: User, begin: Any, webhooks: Any, monkeypatch: Any, caplog: Any
) -> None:
    bad, good = begin(alice), begin(bob)
    webhooks.pay(bad)
    webhooks.pay(good)
    activate = subscriptions.activate

    def choosy(payment: PaymentTransaction, *args: Any, **kwargs: Any) -> Any:
        if payment == bad:
            raise RuntimeError("strange")
        return activate(payment, *args, **kwargs)

    monkeypatch.setattr(subscriptions, "activate", choosy)
    report = reconciliation.reconcile_all()
    assert (report.results["applied"], report.failures["error"]) == (1, 1)
    assert (status_of(bad), status_of(good)) == ("pending", "paid")
    assert "could not be settled" in caplog.text
