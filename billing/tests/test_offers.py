"""What can be bought: one rule for the buttons, the price list, the quote and the checkout. And going on to pay."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing.models import PaymentTransaction, Tier, UserTier
from iafactory.demo import EMAIL, demo_account

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def browser(user: User | None = None) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    if user is not None:
        client.force_login(user)
    return client


def buttons(user: User | None) -> set[str]:
    """The tiers that a page offers; each of its buttons leads to a page that sells."""
    pages = [browser(user).get(path).content.decode() for path in (["/", "/account"] if user else ["/"])]
    shown = [{name for name in Tier.objects.values_list("name", flat=True) if f'/account/buy/{name}"' in page}
             for page in pages]  # fmt: skip
    assert all(tiers == shown[0] for tiers in shown)
    for name in shown[0] if user else ():
        assert browser(user).get(f"/account/buy/{name}").status_code == 200
    return shown[0]


def hold(user: User, tier: str, days: float | None) -> None:
    ends_at = None if days is None else timezone.now() + timedelta(days=days)
    UserTier.objects.update_or_create(user=user, defaults={"tier_id": tier, "expires_at": ends_at})


@pytest.mark.parametrize(
    ("tier", "days", "offered"),
    [
        ("free", None, {"student", "pro"}),
        ("student", 10, {"student", "pro"}),
        ("pro", 10, {"student", "pro"}),
        ("pro", -1, {"student", "pro"}),
        ("student", None, {"pro"}),
        ("pro", None, set()),
        ("enterprise", 10, set()),
        ("enterprise", None, set()),
    ],
)
def test_a_button_is_there_for_what_can_be_bought_and_for_nothing_else(
    tier: str, days: float | None, offered: set[str], charlie: User, chargily: Any, api: Any
) -> None:
    hold(charlie, tier, days)
    assert buttons(charlie) == offered
    caller = api(charlie)
    for name in ("free", "student", "pro", "enterprise"):
        sold = caller.post(f"/payment/subscribe/{name}").status_code
        assert sold == (200 if name in offered else 400)
        assert caller.get(f"/payment/quote/{name}").status_code == sold


def test_the_demo_account_can_try_to_buy(chargily: Any, settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    settings.DEVELOPMENT = True
    demo_account()
    assert buttons(User.objects.get(email=EMAIL)) == {"student", "pro"}


def test_a_tier_without_a_price_has_no_button_even_if_it_is_marked_as_sold(charlie: User, chargily: Any) -> None:
    Tier.objects.filter(name="enterprise").update(sold_online=True)
    Tier.objects.filter(name="student").update(price_dzd=0)
    assert buttons(charlie) == {"pro"}
    assert buttons(None) == {"pro"}
    plans = {plan["tier"]: plan["available"] for plan in browser().get("/payment/plans").json()["plans"]}
    assert plans == {"free": False, "student": False, "pro": True, "enterprise": False}


def test_while_payments_are_not_configured_nothing_is_offered(charlie: User, api: Any, settings: Any) -> None:
    settings.CHARGILY_SECRET_KEY = ""
    assert buttons(charlie) == set()
    for path in ("/", "/account"):
        assert "Payments are not open yet" in browser(charlie).get(path).content.decode()
    page = browser(charlie).get("/account/buy/student").content.decode()
    assert "Payments are not open yet" in page
    assert '<button class="button wide">' not in page
    assert not any(plan["available"] for plan in browser().get("/payment/plans").json()["plans"])
    assert api(charlie).post("/payment/subscribe/student").status_code == 503


def test_who_holds_a_tier_without_an_end_is_told_why_there_is_nothing_to_buy(alice: User, chargily: Any) -> None:
    assert "has no end" in browser(alice).get("/account").content.decode()
    assert "has no end" in browser(alice).get("/account/buy/pro").content.decode()


def test_a_pending_payment_can_be_gone_on_with(charlie: User, begin: Any, chargily: Any) -> None:
    payment = begin(charlie)
    link = f'href="{payment.checkout_url}"'
    assert link in browser(charlie).get("/account").content.decode()
    for path in ("/payment/failure", "/payment/success"):
        assert link in browser(charlie).get(path, {"checkout_id": payment.checkout_id}).content.decode()


def test_nobody_else_is_led_to_a_payment(charlie: User, alice: User, begin: Any) -> None:
    payment = begin(charlie)
    for other in (alice, None):
        for path in ("/payment/failure", "/payment/success"):
            page = browser(other).get(path, {"checkout_id": payment.checkout_id}).content.decode()
            assert payment.checkout_url not in page
    assert payment.checkout_url not in browser(alice).get("/account").content.decode()


@pytest.mark.parametrize("how", ["closed at Chargily", "time is over", "other mode", "no key", "paid"])
def test_a_checkout_that_is_over_is_not_led_to(
    how: str, charlie: User, begin: Any, webhooks: Any, settings: Any, travel: Any
) -> None:
    payment = begin(charlie)
    if how == "closed at Chargily":
        webhooks.pay(payment, "canceled")
    elif how == "time is over":
        travel(1800)
    elif how == "other mode":
        PaymentTransaction.objects.update(livemode=True)
    elif how == "no key":
        settings.CHARGILY_SECRET_KEY = ""
    else:
        webhooks.pay(payment)
    travel(10)
    client = browser(charlie)
    assert payment.checkout_url not in client.get("/account").content.decode()
    page = client.get("/payment/failure", {"checkout_id": payment.checkout_id})
    assert payment.checkout_url not in page.content.decode()
    if how == "paid":
        payment.refresh_from_db()
        assert payment.status == "paid"


def test_while_chargily_is_away_the_link_stays(charlie: User, begin: Any, chargily: Any) -> None:
    payment = begin(charlie)
    chargily.books.faults.api = "500"
    page = browser(charlie).get("/account")
    assert (page.status_code, payment.checkout_url in page.content.decode()) == (200, True)
