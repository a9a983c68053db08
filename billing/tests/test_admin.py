"""Staff and payments: seen, filtered, settled again, refunded, exported; never edited."""

import csv
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.timezone import localtime

from accounts.models import StaffAction, User
from billing import subscriptions
from billing.admin.export import cell
from billing.models import Invoice, PaymentTransaction, UserTier, WebhookEvent

pytestmark = pytest.mark.django_db

PAYMENTS = "/admin/billing/paymenttransaction/"
EVENTS = "/admin/billing/webhookevent/"
INVOICES = "/admin/billing/invoice/"


@pytest.fixture
def staff(sara: User) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(sara)
    return client


def act(staff: Client, action: str, *rows: Any, page: str = PAYMENTS, **more: str) -> Any:
    form = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return staff.post(page, form)


def text(answer: Any) -> str:
    return str(b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode())


@pytest.fixture
def paid(charlie: User, begin: Any, webhooks: Any) -> PaymentTransaction:
    payment: PaymentTransaction = begin(charlie)
    webhooks.pay_and_tell(payment)
    payment.refresh_from_db()
    return payment


@pytest.mark.parametrize("page", [PAYMENTS, EVENTS, INVOICES])
def test_the_pages_open(staff: Client, paid: PaymentTransaction, page: str) -> None:
    assert "charlie@example.dz" in text(staff.get(page)) or page == EVENTS
    model: Any = {PAYMENTS: PaymentTransaction, EVENTS: WebhookEvent, INVOICES: Invoice}[page]
    assert staff.get(f"{page}{model.objects.get().pk}/change/").status_code == 200


@pytest.mark.parametrize("page", [PAYMENTS, EVENTS, INVOICES])
@pytest.mark.parametrize("verb", ["add/", "1/change/", "1/delete/"])
def test_nothing_is_written_by_hand(staff: Client, paid: PaymentTransaction, page: str, verb: str) -> None:
    verb = verb.replace("1", str({PAYMENTS: paid, EVENTS: paid.events.get(), INVOICES: paid.invoices.get()}[page].pk))
    assert staff.post(page + verb, {"status": "paid"}).status_code == 403


def test_by_status_and_day(staff: Client, alice: User, paid: PaymentTransaction) -> None:
    PaymentTransaction.objects.create(user=alice, tier_id="pro", amount_dzd=2590)
    assert "alice@example.dz" not in text(staff.get(PAYMENTS, {"status__exact": "paid"}))
    day = localtime(paid.created_at)
    found = text(
        staff.get(PAYMENTS, {"created_at__year": day.year, "created_at__month": day.month, "created_at__day": day.day})
    )
    assert "alice@example.dz" in found


def test_no_more_queries_for_more_rows(staff: Client, alice: User) -> None:
    def rows(number: int) -> int:
        for _ in range(number):
            PaymentTransaction.objects.create(user=alice, tier_id="pro", amount_dzd=2590, handed_out=False)
        with CaptureQueriesContext(connection) as captured:
            staff.get(PAYMENTS)
        return len(captured)

    few = rows(1)
    assert rows(20) == few


def test_settle_again(staff: Client, charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.pay(payment)
    act(staff, "settle_again", payment)
    payment.refresh_from_db()
    assert payment.status == "paid"
    trail = StaffAction.objects.get()
    assert (trail.action, trail.details) == ("payment.settle", {"result": "applied"})


def test_settle_a_mismatch_again_once_it_is_mended(staff: Client, charlie: User, begin: Any, webhooks: Any) -> None:
    payment = begin(charlie)
    webhooks.chargily.books.faults.amount = 60
    webhooks.pay_and_tell(payment)
    act(staff, "settle_again", payment)
    payment.refresh_from_db()
    assert payment.status == "mismatch"
    webhooks.chargily.books.faults.amount = None
    act(staff, "settle_again", payment.events.get(), page=EVENTS)
    payment.refresh_from_db()
    assert payment.status == "paid"


def test_settle_again_while_chargily_is_away(staff: Client, charlie: User, begin: Any, chargily: Any) -> None:
    payment = begin(charlie)
    chargily.books.faults.api = "500"
    answer = staff.post(PAYMENTS, {"action": "settle_again", "_selected_action": str(payment.pk)}, follow=True)
    assert "could not be asked (broken (500))" in text(answer)


def test_a_refund_says_first_what_happens_to_the_tier(staff: Client, sara: User, paid: PaymentTransaction) -> None:
    page = text(act(staff, "refund", paid))
    assert "The tier student ends now (30.0 days are taken back)." in page
    paid.refresh_from_db()
    assert paid.status == "paid"
    # No reason, no refund.
    act(staff, "refund", paid, confirmed="yes", reason=" ")
    paid.refresh_from_db()
    assert paid.status == "paid"
    act(staff, "refund", paid, confirmed="yes", reason="Paid twice.")
    paid.refresh_from_db()
    assert (paid.status, paid.refunded_by, paid.refund_reason) == ("refunded", sara, "Paid twice.")
    assert subscriptions.status(user_id=paid.user_id).tier == "free"
    trail = StaffAction.objects.get()
    assert (trail.action, trail.actor, trail.details["reason"]) == ("payment.refund", sara, "Paid twice.")
    assert "Cannot be refunded" in text(act(staff, "refund", paid))


def test_who_may_only_look_may_not_act(paid: PaymentTransaction) -> None:
    from django.contrib.auth.models import Permission

    from conftest import person

    viewer = person("viewer@example.dz", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_paymenttransaction"))
    client = Client()
    client.force_login(viewer)
    assert client.get(PAYMENTS).status_code == 200
    act(client, "refund", paid, confirmed="yes", reason="mine")
    act(client, "settle_again", paid)
    paid.refresh_from_db()
    assert paid.status == "paid"


@pytest.mark.parametrize(("page", "number"), [(PAYMENTS, 1), (EVENTS, 1), (INVOICES, 1)])
def test_csv(staff: Client, paid: PaymentTransaction, page: str, number: int) -> None:
    row = {PAYMENTS: paid, EVENTS: paid.events.get(), INVOICES: paid.invoices.get()}[page]
    answer = act(staff, "export_csv", row, page=page)
    assert answer.streaming
    assert answer["Content-Disposition"].startswith("attachment")
    rows = list(csv.DictReader(StringIO(text(answer).removeprefix("\ufeff"))))
    assert len(rows) == number
    assert "DECOY" not in str(rows)


def test_a_cell_is_never_a_formula() -> None:
    assert cell('=HYPERLINK("http://evil")') == '\'=HYPERLINK("http://evil")'
    assert cell("+1@example.dz").startswith("'")
    assert (cell(-5), cell(None), cell("a=b")) == (-5, "", "a=b")


def test_strangers_see_the_login(alice: User, client: Any) -> None:
    client.force_login(alice)
    assert client.get(PAYMENTS).status_code == 302


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
def test_settling_an_undecided_payment_says_what_stands_in_its_way(
    language: str, sara: User, charlie: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie)
    UserTier.objects.update_or_create(user=charlie, defaults={"tier_id": "pro", "expires_at": None})
    webhooks.pay_and_tell(payment)
    client = Client(headers={"Accept-Language": language})
    client.force_login(sara)
    form = {"action": "settle_again", "_selected_action": str(payment.pk)}
    said = unescape(client.post(PAYMENTS, form, follow=True).content.decode())
    words = {"en": "would not improve the tier", "fr": "n'améliorerait pas l'offre", "ar": "لا يحسّن الباقة"}
    with translation.override(language):
        assert translation.gettext("what was paid is not what we asked for") not in said
    assert words[language] in said


def test_an_undecided_payment_that_chargily_no_longer_knows_is_not_said_to_be_paid(
    sara: User, charlie: User, begin: Any, webhooks: Any
) -> None:
    payment = begin(charlie)
    UserTier.objects.update_or_create(user=charlie, defaults={"tier_id": "pro", "expires_at": None})
    webhooks.pay_and_tell(payment)
    webhooks.chargily.books.checkouts.clear()
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(sara)
    form = {"action": "settle_again", "_selected_action": str(payment.pk)}
    said = unescape(client.post(PAYMENTS, form, follow=True).content.decode())
    assert "would not improve the tier" not in said
