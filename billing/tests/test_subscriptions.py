"""Thirty days: renewed, changed by price, cancelled, ended."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import User
from billing import subscriptions
from billing.entitlements import entitlements_for
from billing.errors import NothingToCancel
from billing.models import Tier, UserTier
from billing.subscriptions import terms_of
from billing.tasks import expire_subscriptions

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def holding(user: User, tier: str, left: timedelta | None) -> UserTier:
    expires_at = None if left is None else timezone.now() + left
    return UserTier.objects.update_or_create(user=user, defaults={"tier_id": tier, "expires_at": expires_at})[0]


def days_left(user: User) -> float:
    held = UserTier.objects.get(user=user)
    assert held.expires_at is not None
    return (held.expires_at - timezone.now()) / DAY


def buy(webhooks: Any, begin: Any, user: User, tier: str = "student") -> None:
    assert webhooks.pay_and_tell(begin(user, tier)).status_code == 200


# Renewal


def test_a_renewal_adds_to_what_is_left(charlie: User, begin: Any, webhooks: Any) -> None:
    buy(webhooks, begin, charlie)
    buy(webhooks, begin, charlie)
    assert days_left(charlie) == pytest.approx(60, abs=0.01)
    assert subscriptions.status(user_id=charlie.pk).days_remaining == 60


def test_a_renewal_after_the_end_begins_now(charlie: User, begin: Any, webhooks: Any, travel: Any) -> None:
    buy(webhooks, begin, charlie)
    travel(31 * 86_400)
    buy(webhooks, begin, charlie)
    assert days_left(charlie) == pytest.approx(30, abs=0.01)


def test_the_first_day_stays_and_reminders_come_back(charlie: User, begin: Any, webhooks: Any, travel: Any) -> None:
    buy(webhooks, begin, charlie)
    first = subscriptions.cancel(user_id=charlie.pk)
    travel(86_400)
    buy(webhooks, begin, charlie)
    second = subscriptions.status(user_id=charlie.pk)
    assert (second.subscribed_at, second.auto_renew) == (first.subscribed_at, True)


# A change of tier


def terms(held: UserTier | None, tier: str, price: int) -> subscriptions.Terms:
    return terms_of(held, tier=tier, amount_dzd=price, days=30, now=NOW)


def held(tier: str, expires_at: datetime | None) -> UserTier:
    return UserTier(tier=Tier.objects.get(name=tier), expires_at=expires_at)


@pytest.mark.parametrize(
    ("old", "new", "price", "left", "converted"),
    [
        ("student", "pro", 2590, 10, 10 * 1590 / 2590),
        ("pro", "student", 1590, 10, 10 * 2590 / 1590),
        ("student", "pro", 2590, 0.00001, 0.00001 * 1590 / 2590),
    ],
)
def test_what_is_left_is_converted_by_price(old: str, new: str, price: int, left: float, converted: float) -> None:
    found = terms(held(old, NOW + left * DAY), new, price)
    assert found.converted / DAY == pytest.approx(converted)
    assert (found.starts_at, found.converted_from) == (NOW, old)
    assert found.ends_at == NOW + 30 * DAY + found.converted


def test_converting_there_and_back_gains_nothing() -> None:
    there = terms(held("pro", NOW + 20 * DAY), "student", 1590).converted
    back = terms(held("student", NOW + there), "pro", 2590).converted
    assert timedelta() <= 20 * DAY - back < timedelta(milliseconds=1)


def test_nothing_is_left_of_what_has_ended() -> None:
    assert terms(held("pro", NOW), "student", 1590).ends_at == NOW + 30 * DAY
    assert terms(held("free", None), "student", 1590).ends_at == NOW + 30 * DAY
    assert terms(None, "student", 1590).ends_at == NOW + 30 * DAY


def test_a_tier_without_an_end_gives_way_and_this_is_told() -> None:
    found = terms(held("pro", None), "pro", 2590)
    assert (found.ends_at, found.replaces_endless) == (NOW + 30 * DAY, True)


def test_the_quote_is_what_buying_gives(charlie: User, api: Any, begin: Any, webhooks: Any) -> None:
    holding(charlie, "student", 10 * DAY)
    quote = api(charlie).get("/payment/quote/pro").json()
    assert (quote["amount"], quote["days"], quote["converted_from"]) == (2590, 30, "student")
    assert (quote["days_left"], quote["days_converted"]) == (10, 6.14)
    buy(webhooks, begin, charlie, "pro")
    payment = charlie.payments.get()
    assert payment.ends_at is not None
    assert abs(payment.ends_at - datetime.fromisoformat(quote["ends_at"])) < timedelta(seconds=30)
    assert (payment.converted_from, UserTier.objects.get(user=charlie).tier_id) == ("student", "pro")


# Cancelling


def test_cancelling_keeps_access(charlie: User, api: Any, begin: Any, webhooks: Any) -> None:
    buy(webhooks, begin, charlie)
    body = api(charlie).post("/payment/subscription/cancel").json()
    assert (body["tier"], body["is_active"], body["days_remaining"], body["auto_renew"]) == ("student", True, 30, False)
    # Once more says the same.
    assert api(charlie).post("/payment/subscription/cancel").json() == body


def test_nothing_to_cancel(charlie: User, api: Any) -> None:
    answer = api(charlie).post("/payment/subscription/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "nothing_to_cancel")
    holding(charlie, "pro", -DAY)
    with pytest.raises(NothingToCancel):
        subscriptions.cancel(user_id=charlie.pk)


def test_a_gift_without_end(alice: User) -> None:
    found = subscriptions.status(user_id=alice.pk)
    assert (found.tier, found.is_active, found.expires_at, found.days_remaining) == ("pro", True, None, None)


# The end


def test_the_end_is_at_the_second(charlie: User, travel: Any) -> None:
    holding(charlie, "pro", timedelta(seconds=60))
    assert entitlements_for(charlie.pk).tier == "pro"
    travel(61)
    # Nothing has swept it.
    assert entitlements_for(charlie.pk).tier == "free"
    assert subscriptions.status(user_id=charlie.pk) == subscriptions.Status()


def test_it_is_swept(charlie: User, bob: User, alice: User) -> None:
    holding(charlie, "pro", -DAY)
    holding(bob, "student", DAY)
    expire_subscriptions()
    assert list(UserTier.objects.order_by("user_id").values_list("user__email", "tier_id")) == [
        ("charlie@example.dz", "free"),
        ("bob@example.dz", "student"),
        ("alice@example.dz", "pro"),
    ]
    assert UserTier.objects.get(user=charlie).expires_at is None


def test_the_command(charlie: User) -> None:
    holding(charlie, "pro", -DAY)

    def run(*options: str) -> str:
        output = StringIO()
        call_command("expire_subscriptions", *options, stdout=output)
        return output.getvalue()

    assert run("--dry-run") == "Subscriptions that have ended: 1 (dry run).\n"
    assert run() == "Subscriptions that have ended: 1, now on free.\n"
    assert run() == "Subscriptions that have ended: 0, now on free.\n"
