"""Whatever happens in whatever order, beside gifts of staff: money never makes a standing worse."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from billing import reports, subscriptions
from billing.models import Invoice, PaidTime, PaymentTransaction, UserTier
from billing.standin import ChargilyStandIn

from .payment_books import BOUGHT, RANKS
from .test_state_machine import Payments, run_machine

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


class Gifts(Payments):
    """The same beside gifts of staff, with an end and without one, and a tier on quote.

    The exact books do not know what a gift is worth. What must hold is the rule itself: money never makes a standing
    worse, and what cannot be decided is one open case.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before = {user.pk: subscriptions.status(user_id=user.pk) for user in self.people}

    @rule(
        who=st.integers(0, 1),
        tier=st.sampled_from(["student", "pro", "enterprise"]),
        days=st.sampled_from([None, 5, 40, 400]),
    )
    def staff_gives(self, who: int, tier: str, days: int | None) -> None:
        user, now = self.people[who], timezone.now()
        with transaction.atomic():
            held = subscriptions.lock(user.pk)
            in_force = held.tier_id != "free" and held.in_force(now)
            end = None if days is None else now + timedelta(days=days)
            if in_force and (RANKS[tier] < RANKS[held.tier_id] or held.expires_at is None):
                return
            if in_force and end is not None and held.expires_at is not None:
                end = max(end, held.expires_at)
            held.tier_id, held.expires_at, held.subscribed_at = tier, end, now
            held.save()
        self.before[user.pk] = subscriptions.status(user_id=user.pk)

    @rule(who=st.integers(0, 1))
    def staff_ends_the_tier(self, who: int) -> None:
        UserTier.objects.filter(user=self.people[who]).update(tier_id="free", expires_at=None)
        self.before[self.people[who].pk] = subscriptions.Status()

    def notice(self) -> None:
        """Several payments of one person may be applied in one step; the rule holds for all of them together."""
        changed = [payment for payment in self.ours() if self.seen.get(payment.pk, "pending") != payment.status]
        for payment in changed:
            assert self.seen.get(payment.pk) != "refunded"
            assert self.seen.get(payment.pk) != "paid" or payment.status == "refunded"
            self.seen[payment.pk] = payment.status
        for user in self.people:
            paid = [each for each in changed if each.user_id == user.pk and each.status == "paid"]
            refunded = [each for each in changed if each.user_id == user.pk and each.status == "refunded"]
            after = subscriptions.status(user_id=user.pk)
            self.compare(self.in_force_of(user.pk), after, paid, refunded)
            self.before[user.pk] = after

    def in_force_of(self, user_id: int) -> subscriptions.Status:
        before = self.before[user_id]
        over = before.expires_at is not None and before.expires_at <= timezone.now()
        return subscriptions.Status() if over else before

    def compare(
        self,
        before: subscriptions.Status,
        after: subscriptions.Status,
        paid: list[PaymentTransaction],
        refunded: list[PaymentTransaction],
    ) -> None:
        if not paid and not refunded:
            assert (after.tier, after.expires_at) == (before.tier, before.expires_at)
        elif not paid:
            self.compare_after_a_refund(before, after, refunded)
        elif not refunded and any(each.gives_way == before.tier for each in paid):
            # The customer saw before paying that this tier gives way, and what comes of it.
            assert after.expires_at is None or after.expires_at >= timezone.now() + BOUGHT
        elif not refunded:
            assert RANKS[after.tier] >= RANKS[before.tier]
            assert before.expires_at is not None or before.tier == "free", "a tier without an end was lost"
            assert after.expires_at is not None
            if after.tier == before.tier:
                assert before.expires_at is not None
                assert after.expires_at > before.expires_at

    def compare_after_a_refund(
        self, before: subscriptions.Status, after: subscriptions.Status, refunded: list[PaymentTransaction]
    ) -> None:
        """A refund takes what that payment gave, and leaves gifts and other payments."""
        took = sum((each.taken_back or timedelta() for each in refunded), timedelta())
        if before.expires_at is None or after.expires_at is None:
            assert after == before or (after.tier == "free" and took)
        else:
            assert (after.tier, before.expires_at - after.expires_at) == (before.tier, took)

    @invariant()
    def everybody_holds_what_was_paid_for(self) -> None:
        """The exact books of the other machine; here `notice` judges."""

    @invariant()
    def days_granted_are_days_paid_for(self) -> None:
        """Each payment gave its thirty days, or their value in time of the tier held."""
        for invoice in Invoice.objects.filter(payment__user__in=self.people, kind="invoice").select_related("payment"):
            granted = invoice.ends_at - invoice.starts_at - (invoice.payment.converted or timedelta())
            assert timedelta() < granted <= BOUGHT * 20

    @invariant()
    def paid_time_lies_inside_the_tier_and_does_not_overlap(self) -> None:
        now = timezone.now()
        for user in self.people:
            held = subscriptions.held_by(user.pk)
            if held is None or not held.in_force(now):
                continue
            cursor = now
            for stretch in PaidTime.objects.filter(payment__user=user, tier=held.tier_id, ends_at__gt=now).order_by(
                "starts_at"
            ):
                assert max(stretch.starts_at, now) >= cursor
                assert held.expires_at is None or stretch.ends_at <= held.expires_at
                cursor = stretch.ends_at

    @invariant()
    def what_cannot_be_decided_is_one_open_case(self) -> None:
        undecided = self.ours().filter(failure_code__startswith="undecided", status__in=["mismatch"])
        assert {case.pk for case in undecided} <= {case.pk for case in reports.mismatches()}
        for payment in undecided:
            assert not Invoice.objects.filter(payment=payment).exists()
            assert payment.paid_at is None


class WithoutEnd(Gifts):
    """Somebody begins with a gift without an end."""

    def __init__(self) -> None:
        super().__init__()
        UserTier.objects.create(user=self.people[0], tier_id="pro")
        self.before[self.people[0].pk] = subscriptions.status(user_id=self.people[0].pk)


@pytest.mark.parametrize("machine", [Gifts, WithoutEnd])
def test_money_beside_gifts_never_makes_a_standing_worse(
    machine: type[Payments], chargily: ChargilyStandIn, monkeypatch: Any
) -> None:
    run_machine(machine, chargily, monkeypatch)
