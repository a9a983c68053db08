"""Whatever happens in whatever order: days granted = days paid for, per user; one invoice each; numbers without gaps.

A model keeps its own books: what each person should hold, replayed from what Chargily was paid. The clock stands still
but for the rules that move it, so that both can be compared to the microsecond.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
import time_machine
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from billing import checkout, invoices, reconciliation, refunds, subscriptions, webhooks
from billing.errors import (
    AlreadyPaid,
    BadSignature,
    CheckoutBeingOpened,
    EventNotApplied,
    GatewayError,
    NothingToCancel,
    NotRefundable,
    TierHasNoEnd,
    TierOnQuote,
)
from billing.gateways import Chargily
from billing.models import Invoice, PaymentTransaction, Tier, WebhookEvent
from billing.standin import ChargilyStandIn
from conftest import person

from .payment_books import BOUGHT, MICROSECOND, START, Books, in_time, price_of

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

PRICES = {"student": 1590, "pro": 2590}
serial = count()


class Crash(BaseException):
    """A kill -9, as far as one process can play it: no handler runs but the database's own."""


@contextmanager
def crashing(where: str | None) -> Iterator[None]:
    """Die right after this step."""
    steps: dict[str, tuple[Any, str]] = {
        "checkout made": (Chargily, "open"),
        "days given": (subscriptions, "activate"),
        "invoice issued": (invoices, "issue"),
        "days taken back": (subscriptions, "take_back"),
        "settled": (webhooks, "_outcome_of"),
    }
    if where is None:
        yield
        return
    owner, name = steps[where]
    real = getattr(owner, name)

    def and_die(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise Crash

    try:
        with patch.object(owner, name, and_die):
            yield
    except Crash:
        return


crashes = st.sampled_from([None, None, None, "days given", "invoice issued"])


class Payments(RuleBasedStateMachine):
    chargily: ChargilyStandIn
    payments = Bundle("payments")
    events = Bundle("events")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.clock = self.stack.enter_context(time_machine.travel(START + timedelta(days=next(serial)), tick=False))
        self.people = [person(f"user{next(serial)}@example.dz") for _ in range(2)]
        self.books = {user.pk: Books() for user in self.people}
        self.seen: dict[int, str] = {}
        # The price of a day of the tier in which a payment's days were given.
        self.given_at: dict[int, Fraction] = {}
        self.chargily.books.reset()
        for tier, price in PRICES.items():
            Tier.objects.filter(name=tier).update(price_dzd=price)

    def teardown(self) -> None:
        try:
            self.nothing_paid_is_lost()
        finally:
            self.stack.close()

    # What happens

    @rule(
        target=payments,
        who=st.integers(0, 1),
        tier=st.sampled_from(["student", "pro"]),
        crash=st.sampled_from([None, None, None, "checkout made"]),
        down=st.sampled_from(["", "", "", "500", "429"]),
    )
    def subscribe(self, who: int, tier: str, crash: str | None, down: str) -> Any:
        self.chargily.books.faults.api = down
        payment = None
        try:
            with crashing(crash):
                payment = checkout.subscribe(user_id=self.people[who].pk, tier=tier, language="fr")
        except (GatewayError, CheckoutBeingOpened, AlreadyPaid, TierHasNoEnd, TierOnQuote):
            pass
        finally:
            self.chargily.books.faults.api = ""
        self.notice()
        return multiple() if payment is None else payment.pk

    @rule(
        target=events,
        pk=payments,
        status=st.sampled_from(["paid", "paid", "paid", "failed", "canceled", "expired", "processing"]),
    )
    def at_chargily(self, pk: int, status: str) -> Any:
        """The customer does something; an event is on its way, and may arrive whenever, or never."""
        truth = self.checkout_of(pk)
        self.chargily.books.change(truth["id"], status)
        kind = "paid" if truth["status"] == "paid" else status
        return self.chargily.books.event(truth, f"checkout.{kind}")

    @rule(target=events, pk=payments)
    def money_comes_late(self, pk: int) -> Any:
        truth = self.checkout_of(pk)
        truth["status"] = "paid"
        return self.chargily.books.event(truth, "checkout.paid")

    @rule(target=events, pk=payments)
    def another_amount_is_paid(self, pk: int) -> Any:
        truth = self.checkout_of(pk)
        if truth["status"] == "pending":
            truth["status"], truth["amount"] = "paid", 60
        return self.chargily.books.event(truth, "checkout.paid")

    @rule(body=events, crash=st.one_of(crashes, st.just("settled")), down=st.sampled_from(["", "", "500"]))
    def deliver(self, body: bytes, crash: str | None, down: str) -> None:
        """Any event, again and again, in any order."""
        self.chargily.books.faults.api = down
        try:
            with crashing(crash):
                webhooks.receive(body=body, signature=self.chargily.books.signature(body))
        except EventNotApplied:
            assert down
        finally:
            self.chargily.books.faults.api = ""
        self.notice()

    @rule(body=consumes(events))
    def deliver_for_the_last_time(self, body: bytes) -> None:
        webhooks.receive(body=body, signature=self.chargily.books.signature(body))
        self.notice()

    @rule(body=events)
    def forge(self, body: bytes) -> None:
        before = WebhookEvent.objects.count()
        with pytest.raises(BadSignature):
            webhooks.receive(body=body, signature="0" * 64)
        assert WebhookEvent.objects.count() == before

    @rule(crash=crashes, everything=st.booleans())
    def reconcile(self, crash: str | None, everything: bool) -> None:
        with crashing(crash):
            (reconciliation.reconcile_all if everything else reconciliation.reconcile_due)()
        self.notice()

    @rule(pk=payments, crash=crashes)
    def look(self, pk: int, crash: str | None) -> None:
        with crashing(crash):
            checkout.look(PaymentTransaction.objects.get(pk=pk))
        self.notice()

    @rule(pk=payments, crash=st.sampled_from([None, None, "days taken back"]))
    def refund(self, pk: int, crash: str | None) -> None:
        payment = PaymentTransaction.objects.get(pk=pk)
        try:
            with crashing(crash):
                refunds.refund(payment, by=self.people[0], reason="x")
        except NotRefundable:
            assert payment.status not in ("paid", "mismatch")
        self.notice()

    @rule(time=st.sampled_from([timedelta(minutes=1), timedelta(minutes=31), timedelta(hours=7), timedelta(days=4)]))
    def time_passes(self, time: timedelta) -> None:
        self.clock.shift(time)

    @rule(days=st.integers(20, 40))
    def days_pass(self, days: int) -> None:
        self.clock.shift(timedelta(days=days))

    @rule(tier=st.sampled_from(["student", "pro"]), factor=st.sampled_from(["0.5", "1", "1.3", "3"]))
    def price_changes(self, tier: str, factor: str) -> None:
        """Only what is bought from now on costs more or less."""
        Tier.objects.filter(name=tier).update(price_dzd=int(PRICES[tier] * Decimal(factor)))

    @rule()
    def sweep(self) -> None:
        subscriptions.expire()

    @rule(who=st.integers(0, 1))
    def cancel(self, who: int) -> None:
        try:
            subscriptions.cancel(user_id=self.people[who].pk)
        except NothingToCancel:
            assert subscriptions.status(user_id=self.people[who].pk).tier == "free"

    # What must hold

    @invariant()
    def everybody_holds_what_was_paid_for(self) -> None:
        now = timezone.now()
        for user in self.people:
            books, found = self.books[user.pk], subscriptions.status(user_id=user.pk)
            wanted = (books.tier, books.ends_at) if books.holds(now) else ("free", None)
            assert (found.tier, found.expires_at) == wanted

    @invariant()
    def days_granted_are_days_paid_for(self) -> None:
        for user in self.people:
            paid = PaymentTransaction.objects.filter(user=user, paid_at__isnull=False)
            granted = timedelta()
            for invoice in Invoice.objects.filter(payment__user=user, kind="invoice").select_related("payment"):
                granted += self.days_explained(invoice)
            # Money for a cheaper tier is turned into time of the tier held, each payment rounded to a microsecond.
            assert abs(granted - BOUGHT * paid.count()) <= paid.count() * MICROSECOND * 2

    def days_explained(self, invoice: Invoice) -> timedelta:
        payment = invoice.payment
        granted = invoice.ends_at - invoice.starts_at - (payment.converted or timedelta())
        return (
            granted
            if granted == BOUGHT
            else in_time(granted // MICROSECOND * self.given_at[payment.pk] / price_of(payment))
        )

    @invariant()
    def only_money_grants(self) -> None:
        for payment in self.ours().filter(paid_at__isnull=False):
            truth = self.checkout_of(payment.pk)
            assert (truth["status"], truth["amount"]) == ("paid", payment.amount_dzd)

    @invariant()
    def one_invoice_for_each_payment_and_no_gap(self) -> None:
        invoices = Invoice.objects.all()
        per_payment = Counter((invoice.payment_id, invoice.kind) for invoice in invoices)
        assert set(per_payment.values()) <= {1}
        applied = PaymentTransaction.objects.filter(paid_at__isnull=False)
        assert len(per_payment) == applied.count() + applied.filter(status="refunded").count()
        series: dict[tuple[str, int], list[int]] = {}
        for invoice in invoices:
            series.setdefault((invoice.kind, invoice.year), []).append(invoice.number)
        for numbers in series.values():
            assert sorted(numbers) == list(range(1, len(numbers) + 1))

    def nothing_paid_is_lost(self) -> None:
        """Without one more webhook: the task finds what was paid within 60 hours of the purchase."""
        expected = {
            payment.pk
            for payment in self.ours().filter(status__in=PaymentTransaction.OPEN_TO_MONEY, checkout_id__isnull=False)
            if self.was_paid(payment) and timezone.now() - payment.created_at < timedelta(hours=60)
        }
        for _ in range(14):
            reconciliation.reconcile_all()
            self.clock.shift(timedelta(hours=6))
        self.notice()
        assert expected <= set(self.ours().filter(status="paid").values_list("pk", flat=True))

    # How the model learns of it

    def ours(self) -> Any:
        return PaymentTransaction.objects.filter(user__in=self.people)

    def notice(self) -> None:
        """Book what changed its status, in the order in which it did."""
        changed = [payment for payment in self.ours() if self.seen.get(payment.pk, "pending") != payment.status]
        for payment in sorted(changed, key=lambda payment: (payment.paid_at or START, self.order_of(payment))):
            books = self.books[payment.user_id]
            before = self.seen.get(payment.pk, "pending")
            assert before not in ("refunded",), "money came over a refund"
            if payment.status == "paid":
                books.bought(payment, timezone.now())
                self.given_at[payment.pk] = next(e.rate for e in books.stretches if e.payment == payment.pk)
            elif payment.status == "refunded" and payment.paid_at is not None:
                books.given_back(payment, timezone.now())
            else:
                assert before != "paid", "a payment was forgotten"
            self.seen[payment.pk] = payment.status

    def order_of(self, payment: PaymentTransaction) -> int:
        invoice = Invoice.objects.filter(payment=payment, kind="invoice").first()
        return 0 if invoice is None else invoice.pk

    def checkout_of(self, pk: int) -> dict[str, Any]:
        checkout_id = PaymentTransaction.objects.get(pk=pk).checkout_id
        assert checkout_id is not None
        return self.chargily.books.checkouts[checkout_id]

    def was_paid(self, payment: PaymentTransaction) -> bool:
        truth = self.checkout_of(payment.pk)
        return (truth["status"], truth["amount"]) == ("paid", payment.amount_dzd)


def run_machine(machine: type[Payments], chargily: ChargilyStandIn, monkeypatch: Any) -> None:
    monkeypatch.setattr("billing.gateways.chargily.BETWEEN_TRIES_SECONDS", 0)
    monkeypatch.setattr(checkout, "LOOKS", 3)
    monkeypatch.setattr(checkout, "BETWEEN_LOOKS_SECONDS", 0.01)

    on_this_chargily = type("OnThisChargily", (machine,), {"chargily": chargily})
    run_state_machine_as_test(
        on_this_chargily,
        settings=settings(
            max_examples=int(os.environ.get("PAYMENT_EXAMPLES", "12")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


def test_days_granted_are_days_paid_for(chargily: ChargilyStandIn, monkeypatch: Any) -> None:
    run_machine(Payments, chargily, monkeypatch)
