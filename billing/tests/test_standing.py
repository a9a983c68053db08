"""Money never makes a standing worse: late, beside a gift or another checkout. The rest is a case for a person."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing import letters, offers, refunds, reports, settlement, subscriptions
from billing.models import Letter, PaymentTransaction, Tier, UserTier
from billing.settlement import Result
from iafactory.alerts.readings import payment_mismatches

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def hold(user: User, tier: str, left: timedelta | None) -> None:
    ends_at = None if left is None else timezone.now() + left
    UserTier.objects.update_or_create(user=user, defaults={"tier_id": tier, "expires_at": ends_at})


def standing(user: User) -> tuple[str, float | None]:
    found = subscriptions.status(user_id=user.pk)
    return found.tier, None if found.expires_at is None else (found.expires_at - timezone.now()) / DAY


def near(tier: str, days: float) -> tuple[str, Any]:
    return tier, pytest.approx(days, abs=0.01)


def cases() -> list[tuple[str, str]]:
    (reading,) = payment_mismatches()
    found = [(case.status, case.failure_code) for case in reports.mismatches()]
    assert reading.amount == len(found)
    return found


@pytest.fixture
def buy(begin: Any, webhooks: Any) -> Any:
    def buy(user: User, tier: str = "student") -> PaymentTransaction:
        payment: PaymentTransaction = begin(user, tier)
        assert webhooks.pay_and_tell(payment).status_code == 200
        payment.refresh_from_db()
        return payment

    return buy


# What has no use beside the tier held


@pytest.mark.parametrize(
    ("bought", "given", "left"),
    [
        ("student", "enterprise", 90 * DAY),
        ("pro", "enterprise", None),
        ("student", "student", None),
        ("student", "pro", None),
        ("pro", "student", None),
    ],
)
def test_money_beside_a_gift_that_came_after_the_click_is_a_persons_case(
    bought: str, given: str, left: timedelta | None, charlie: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie, bought)
    hold(charlie, given, left)
    before = UserTier.objects.get(user=charlie).expires_at
    for _ in range(3):
        assert webhooks.pay_and_tell(payment).status_code == 200
        settlement.settle(payment)
    held = UserTier.objects.get(user=charlie)
    assert (held.tier_id, held.expires_at) == (given, before)
    assert cases() == [("mismatch", f"undecided: holds {given}")]


@pytest.mark.parametrize("closed", ["expired", "canceled", "failed"])
def test_late_money_beside_a_tier_on_quote_opens_one_case(
    closed: str, charlie: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie)
    webhooks.pay_and_tell(payment, closed)
    hold(charlie, "enterprise", 90 * DAY)
    webhooks.chargily.books.checkouts[payment.checkout_id]["status"] = "paid"
    webhooks.send(webhooks.event(payment))
    webhooks.send(webhooks.event(payment))
    assert (standing(charlie), len(cases())) == (near("enterprise", 90), 1)


def test_staff_settles_a_case_again_once_the_gift_is_over(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    hold(charlie, "enterprise", DAY)
    webhooks.pay_and_tell(payment)
    assert settlement.settle(payment, by_staff=True) == Result.MISMATCH
    hold(charlie, "enterprise", -DAY)
    assert settlement.settle(payment, by_staff=True) == Result.APPLIED
    assert (standing(charlie), cases()) == (near("student", 30), [])


def test_the_money_of_a_case_can_be_given_back(charlie: User, sara: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    hold(charlie, "pro", None)
    webhooks.pay_and_tell(payment)
    refunds.refund(payment, by=sara, reason="Has a gift.")
    assert (standing(charlie), cases()) == (("pro", None), [])


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
def test_page_and_mail_of_a_case_do_not_say_that_another_amount_was_paid(
    language: str, charlie: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie)
    hold(charlie, "pro", None)
    webhooks.pay_and_tell(payment)
    User.objects.filter(pk=charlie.pk).update(language=language)
    letters.note_mismatches(timezone.now())
    letter = Letter.objects.get()
    client = Client(headers={"Accept-Language": language})
    page = client.get("/payment/success", {"checkout_id": payment.checkout_id}).content.decode()
    words = {"en": "your tier stays as it is", "fr": "votre formule reste donc telle quelle", "ar": "تبقى باقتك كما هي"}
    assert words[language] in page
    assert words[language] in letters.message_of(letter).body


# What is added where it is worth something


def test_money_for_a_cheaper_tier_prolongs_the_dearer_one_bought_meanwhile(
    charlie: User, begin: Any, webhooks: Any
) -> None:
    student, pro = begin(charlie, "student"), begin(charlie, "pro")
    webhooks.pay_and_tell(pro)
    webhooks.pay_and_tell(student)
    assert standing(charlie) == near("pro", 30 + 30 * 1590 / 2590)
    assert cases() == []


def test_money_for_a_cheaper_tier_prolongs_a_dearer_gift_with_an_end(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie, "student")
    hold(charlie, "pro", 10 * DAY)
    webhooks.pay_and_tell(payment)
    assert standing(charlie) == near("pro", 10 + 30 * 1590 / 2590)


def test_staff_cannot_take_back_dearer_time_that_money_for_a_cheaper_tier_bought(
    charlie: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie, "student")
    hold(charlie, "pro", 10 * DAY)
    webhooks.pay_and_tell(payment)
    held = UserTier.objects.get(user=charlie)
    held.tier = Tier.objects.get(name="student")
    with pytest.raises(ValidationError, match=str(payment.pk)):
        held.full_clean()


def test_a_refund_of_money_added_to_a_dearer_tier_takes_what_it_gave(
    charlie: User, sara: User, begin: Any, webhooks: Any
) -> None:
    student, pro = begin(charlie, "student"), begin(charlie, "pro")
    webhooks.pay_and_tell(pro)
    webhooks.pay_and_tell(student)
    refunds.refund(student, by=sara, reason="x")
    assert standing(charlie) == near("pro", 30)


def test_money_for_a_dearer_tier_replaces_a_cheaper_gift_by_value(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie, "pro")
    hold(charlie, "student", 10 * DAY)
    webhooks.pay_and_tell(payment)
    assert standing(charlie) == near("pro", 30 + 10 * 1590 / 2590)


def test_a_lower_tier_bought_knowingly_is_converted_as_quoted(charlie: User, buy: Any) -> None:
    buy(charlie, "pro")
    quoted = offers.quote(user_id=charlie.pk, tier="student").terms
    buy(charlie, "student")
    assert standing(charlie) == near("student", (quoted.ends_at - timezone.now()) / DAY)
    assert standing(charlie) == near("student", 30 + 30 * 2590 / 1590)


# By what was paid for it


@pytest.mark.parametrize("price", [0, 50, 1000, 3180, None])
def test_a_new_price_does_not_change_the_worth_of_days_bought_before(
    price: int | None, charlie: User, buy: Any
) -> None:
    buy(charlie, "student")
    Tier.objects.filter(name="student").update(price_dzd=price)
    buy(charlie, "pro")
    assert standing(charlie) == near("pro", 30 + 30 * 1590 / 2590)


def test_days_bought_at_two_prices_are_each_worth_their_own(charlie: User, buy: Any, travel: Any) -> None:
    buy(charlie, "student")
    Tier.objects.filter(name="student").update(price_dzd=3180)
    buy(charlie, "student")
    travel(15 * 86_400)
    buy(charlie, "pro")
    assert standing(charlie) == near("pro", 30 + (15 * 1590 + 30 * 3180) / 2590)


def test_a_checkout_opened_at_the_old_price_is_worth_the_old_price(
    charlie: User, begin: Any, webhooks: Any, buy: Any
) -> None:
    payment = begin(charlie, "student")
    Tier.objects.filter(name="student").update(price_dzd=500)
    webhooks.pay_and_tell(payment)
    buy(charlie, "pro")
    assert standing(charlie) == near("pro", 30 + 30 * 1590 / 2590)


@pytest.mark.parametrize("price", [0, 100, 9000])
def test_a_refund_after_a_price_change_takes_back_what_was_bought(
    price: int, charlie: User, sara: User, buy: Any
) -> None:
    first = buy(charlie, "student")
    buy(charlie, "pro")
    Tier.objects.filter(name__in=("student", "pro")).update(price_dzd=price)
    refunds.refund(first, by=sara, reason="x")
    assert standing(charlie) == near("pro", 30)


def test_days_used_up_are_not_taken_from_a_renewal(charlie: User, sara: User, buy: Any, travel: Any) -> None:
    first, _second = buy(charlie), buy(charlie)
    travel(10 * 86_400)
    refunds.refund(first, by=sara, reason="x")
    assert standing(charlie) == near("student", 30)


def test_a_refund_takes_back_time_that_was_converted_twice(charlie: User, sara: User, buy: Any) -> None:
    first, dearer, last = buy(charlie, "student"), buy(charlie, "pro"), buy(charlie, "student")
    assert standing(charlie) == near("student", 30 + 30 * 2590 / 1590 + 30)
    refunds.refund(first, by=sara, reason="x")
    assert standing(charlie) == near("student", 30 + 30 * 2590 / 1590)
    refunds.refund(dearer, by=sara, reason="x")
    assert standing(charlie) == near("student", 30)
    refunds.refund(last, by=sara, reason="x")
    assert standing(charlie)[0] == "free"


def test_a_refund_in_the_middle_of_two_conversions_leaves_the_rest(
    charlie: User, sara: User, buy: Any, travel: Any
) -> None:
    first, dearer, last = buy(charlie, "student"), buy(charlie, "pro"), buy(charlie, "student")
    travel(40 * 86_400)
    refunds.refund(last, by=sara, reason="x")
    assert standing(charlie) == near("student", 30 * 2590 / 1590 + 30 - 10)
    refunds.refund(first, by=sara, reason="x")
    refunds.refund(dearer, by=sara, reason="x")
    assert standing(charlie)[0] == "free"


def test_settling_again_keeps_the_reason_that_is_true_now(charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.chargily.books.checkouts[payment.checkout_id]["amount"] = 60
    webhooks.pay_and_tell(payment)
    assert cases() == [("mismatch", "mismatch: amount")]
    webhooks.chargily.books.checkouts[payment.checkout_id]["amount"] = payment.amount_dzd
    hold(charlie, "pro", None)
    assert settlement.settle(payment, by_staff=True) == Result.MISMATCH
    assert cases() == [("mismatch", "undecided: holds pro")]
