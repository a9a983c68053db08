"""Chargily's stand-in: it refuses what Chargily refuses, in its words, and misbehaves when it is told to."""

import json
import time
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command

from billing.standin import ChargilyStandIn

pytestmark = pytest.mark.usefixtures("chargily")

ORDER = {"amount": 2000, "currency": "dzd", "success_url": "https://example.dz/ok"}


def call(chargily: ChargilyStandIn, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key or chargily.books.key}"}
    return requests.request(method, chargily.base_url + path, json=body, headers=headers, timeout=10)


def made(chargily: ChargilyStandIn, **changes: Any) -> dict[str, Any]:
    answer = call(chargily, "POST", "/checkouts", {**ORDER, **changes})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_checkout(chargily: ChargilyStandIn) -> None:
    found = made(chargily, metadata={"a": 1})
    assert (found["status"], found["livemode"], found["locale"], found["metadata"]) == (
        "pending",
        False,
        "ar",
        {"a": 1},
    )
    assert len(found["id"]) == 26
    assert found["id"] == found["id"].lower()
    assert found["checkout_url"] == f"{chargily.address}/test/checkouts/{found['id']}/pay"
    assert "DECOY" in str(found["account"])
    assert call(chargily, "GET", f"/checkouts/{found['id']}").json() == found
    assert call(chargily, "GET", "/checkouts?per_page=5").json()["data"] == [found]


def test_it_wants_the_key(chargily: ChargilyStandIn) -> None:
    answer = call(chargily, "GET", "/balance", key="wrong")
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthenticated."})
    assert call(chargily, "GET", "/balance").json()["wallets"][0]["ready_for_payout"] == "0"


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"amount": 49}, "amount", "The amount field must be greater than or equal to 50."),
        ({"amount": None}, "items", "The items field is required when amount is not present. (and 1 more error)"),
        ({"currency": None}, "currency", "The currency field is required when amount is present."),
        ({"currency": "usd"}, "currency", "The selected currency is invalid."),
        ({"success_url": None}, "success_url", "The success url field is required."),
        ({"success_url": "app://ok"}, "success_url", "The success url field must be a valid URL."),
        ({"locale": "de"}, "locale", "The selected locale is invalid."),
        ({"customer_id": "x"}, "customer_id", "The selected customer id is invalid."),
    ],
)
def test_what_it_refuses(chargily: ChargilyStandIn, changes: dict[str, Any], field: str, message: str) -> None:
    answer = call(chargily, "POST", "/checkouts", {**ORDER, **changes})
    assert answer.status_code == 422
    assert answer.json()["message"] == message
    assert field in answer.json()["errors"]


def test_both_discounts(chargily: ChargilyStandIn) -> None:
    both = {**ORDER, "percentage_discount": 10, "amount_discount": 10}
    assert call(chargily, "POST", "/checkouts", both).status_code == 422
    assert made(chargily, percentage_discount=50)["amount"] == 1000


def test_expiring(chargily: ChargilyStandIn, travel: Any) -> None:
    first, second, third = (made(chargily)["id"] for _ in range(3))
    assert call(chargily, "POST", f"/checkouts/{first}/expire").json()["status"] == "expired"
    assert call(chargily, "POST", f"/checkouts/{first}/expire").status_code == 400
    chargily.books.change(second, "paid")
    assert call(chargily, "POST", f"/checkouts/{second}/expire").status_code == 403
    travel(1801)
    assert call(chargily, "GET", f"/checkouts/{third}").json()["status"] == "expired"
    assert call(chargily, "GET", "/checkouts/nothing").status_code == 404


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_the_page(chargily: ChargilyStandIn, language: str) -> None:
    page = requests.get(f"{made(chargily)['checkout_url']}?lang={language}", timeout=10).text
    assert f'lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in page
    assert "2000" in page
    assert "style=" not in page


def press(page: str, action: str) -> requests.Response:
    return requests.post(page, data={"action": action}, allow_redirects=False, timeout=10)


def test_paying_failing_and_cancelling(chargily: ChargilyStandIn) -> None:
    back = {"success_url": "https://example.dz/ok?a=1", "failure_url": "https://example.dz/no"}
    for action, status, address in (
        ("pay", "paid", "https://example.dz/ok?a=1&checkout_id="),
        ("fail", "failed", "https://example.dz/no?checkout_id="),
        ("cancel", "canceled", "https://example.dz/no?checkout_id="),
    ):
        checkout = made(chargily, **back)
        answer = press(checkout["checkout_url"], action)
        assert answer.headers["Location"] == address + checkout["id"]
        assert chargily.books.checkouts[checkout["id"]]["status"] == status
        # Pressed again, it is over.
        assert press(checkout["checkout_url"], "pay").status_code == 200
        assert chargily.books.checkouts[checkout["id"]]["status"] == status


@pytest.mark.parametrize(
    ("faults", "sent"),
    [
        ({}, ["checkout.paid"]),
        ({"dropped": True}, []),
        ({"copies": 3}, ["checkout.paid"] * 3),
        ({"reordered": True}, ["checkout.paid", "checkout.failed"]),
    ],
)
def test_its_webhooks(chargily: ChargilyStandIn, faults: dict[str, Any], sent: list[str]) -> None:
    """To an address where nobody answers; that they were sent stands in its books."""
    for name, value in faults.items():
        setattr(chargily.books.faults, name, value)
    checkout = made(chargily, webhook_endpoint="http://127.0.0.1:1/hook")
    chargily.finish(checkout["id"], "paid")
    assert chargily.books.deliveries == [(kind, None) for kind in sent]


def test_a_forged_signature_and_a_late_one(chargily: ChargilyStandIn) -> None:
    honest = chargily.books.signature(b"x")
    chargily.books.faults.forged = True
    assert chargily.books.signature(b"x") != honest
    chargily.books.faults.delay = 0.3
    began = time.monotonic()
    chargily.finish(made(chargily)["id"], "paid")
    assert time.monotonic() - began >= 0.3


def test_an_event_is_shaped_as_documented(chargily: ChargilyStandIn) -> None:
    checkout = chargily.books.checkouts[made(chargily)["id"]]
    event = json.loads(chargily.books.event(checkout, "checkout.paid"))
    assert (event["entity"], event["livemode"], event["type"]) == ("event", "false", "checkout.paid")
    assert event["data"]["url"] == checkout["checkout_url"]
    assert not {"currency", "livemode", "checkout_url", "webhook_endpoint"} & set(event["data"])


def test_switching_faults_while_it_runs(chargily: ChargilyStandIn) -> None:
    def switch(**wanted: str) -> requests.Response:
        return requests.post(f"{chargily.address}/faults", data=wanted, timeout=10)

    assert switch(copies="2", dropped="1", amount="60", api="429").json()["copies"] == 2
    assert (chargily.books.faults.dropped, chargily.books.faults.amount) == (True, 60)
    assert call(chargily, "GET", "/balance").headers["Retry-After"] == "7"
    assert switch(api="", amount="", dropped="0").json()["amount"] is None
    assert switch(nonsense="1").status_code == 400


def test_checkouts_outlive_a_restart(tmp_path: Any) -> None:
    first = ChargilyStandIn("key", file=tmp_path / "checkouts.json").start()
    checkout = made(first)
    first.books.change(checkout["id"], "paid")
    first.close()
    second = ChargilyStandIn("key", file=tmp_path / "checkouts.json").start()
    assert call(second, "GET", f"/checkouts/{checkout['id']}").json()["status"] == "paid"
    second.close()


def test_never_in_production(settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="production"):
        call_command("chargily_standin", "--key", "x" * 20)
    settings.PRODUCTION, settings.CHARGILY_SECRET_KEY = False, ""
    with pytest.raises(CommandError, match="key"):
        call_command("chargily_standin")
    with pytest.raises(CommandError, match="Unknown: nonsense"):
        call_command("chargily_standin", "--key", "x" * 20, "--fault", "nonsense=1")


def test_make_run_plays_only_where_nobody_chose(monkeypatch: Any) -> None:
    from iafactory.env import Env
    from iafactory.run.chargily import wanted

    assert wanted(Env({}))
    assert not wanted(Env({"APP_ENV": "production"}))
    assert not wanted(Env({"CHARGILY_SECRET_KEY": "x"}))
    assert not wanted(Env({"CHARGILY_BASE_URL": "https://example.dz"}))
    assert not wanted(Env({"CHARGILY_MODE": "live"}))
    assert wanted(Env({"CHARGILY_MODE": "test"}))
