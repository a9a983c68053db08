"""Settings of payments that are wrong, told at start without a key in them."""

from decimal import Decimal
from typing import Any

import pytest

from billing import checks

TEST_KEY = "test_" + "sk_" + "1" * 40
LIVE_KEY = "live_" + "sk_" + "1" * 40


@pytest.fixture(autouse=True)
def blank(settings: Any) -> None:
    settings.CHARGILY_SECRET_KEY = settings.CHARGILY_API_KEY = settings.CHARGILY_WEBHOOK_SECRET = ""
    settings.CHARGILY_MODE = "test"
    settings.PRODUCTION = False


def told() -> list[str]:
    """By every check of billing."""
    found: list[str] = []
    for check in (
        checks.chargily_key_is_there,
        checks.chargily_key_is_of_the_mode,
        checks.addresses_are_https,
        checks.tax_is_a_percentage,
        checks.rate_is_positive,
        checks.seller_is_named,
    ):
        messages = check(app_configs=None)
        assert not any("sk_" in str(message) for message in messages)
        found += [str(message.id) for message in messages]
    return found


def test_a_bare_checkout_is_fine() -> None:
    assert told() == []


def test_an_empty_secret_beside_another_key(settings: Any) -> None:
    settings.CHARGILY_API_KEY = "test_" + "pk_" + "1" * 40
    assert told() == ["billing.E001"]
    settings.CHARGILY_API_KEY, settings.CHARGILY_WEBHOOK_SECRET = "", "w" * 20
    assert told() == ["billing.E001"]


def test_production_without_payments_is_warned(settings: Any) -> None:
    settings.PRODUCTION = True
    assert told() == ["billing.W001"]


@pytest.mark.parametrize(
    ("mode", "key", "ids"),
    [
        ("test", TEST_KEY, []),
        ("live", LIVE_KEY, []),
        ("live", "sk_" + "1" * 40, []),
        ("live", TEST_KEY, ["billing.E002"]),
        ("test", LIVE_KEY, ["billing.E003"]),
        ("test", "sk_" + "1" * 40, ["billing.W002"]),
        ("test", "test_\u2013" + "sk_" + "1" * 40, ["billing.E008"]),
    ],
)
def test_a_key_of_the_other_mode(settings: Any, mode: str, key: str, ids: list[str]) -> None:
    settings.CHARGILY_MODE, settings.CHARGILY_SECRET_KEY = mode, key
    assert told() == ids


def test_production_needs_https_and_a_key_that_cannot_be_guessed(settings: Any) -> None:
    settings.PRODUCTION, settings.CHARGILY_MODE, settings.CHARGILY_SECRET_KEY = True, "live", "short"
    settings.CHARGILY_WEBHOOK_SECRET = "short"
    settings.API_URL = settings.FRONTEND_URL = settings.CHARGILY_BASE_URL = "http://iafactory.dz"
    settings.SELLER = dict.fromkeys(settings.SELLER, "x")
    assert told() == ["billing.E004", "billing.E005", "billing.E011", "billing.E012", "billing.E013"]


def test_a_seller_without_numbers(settings: Any) -> None:
    settings.PRODUCTION, settings.CHARGILY_MODE, settings.CHARGILY_SECRET_KEY = True, "live", LIVE_KEY
    settings.API_URL = settings.FRONTEND_URL = settings.CHARGILY_BASE_URL = "https://iafactory.dz"
    assert told() == ["billing.W003"]


def test_play_money_in_production_is_warned_of(settings: Any) -> None:
    settings.PRODUCTION, settings.CHARGILY_SECRET_KEY = True, TEST_KEY
    assert "billing.W004" in told()
    settings.PRODUCTION = False
    assert told() == []


@pytest.mark.parametrize("percent", ["100", "19.123"])
def test_a_tax_that_cannot_be(settings: Any, percent: str) -> None:
    settings.TVA_PERCENT = Decimal(percent)
    assert told() == ["billing.E006"]


def test_a_rate_of_nothing(settings: Any) -> None:
    settings.DZD_PER_USD = Decimal(0)
    assert told() == ["billing.E007"]
