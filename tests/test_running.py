"""The main job against the running product: two web workers, the drainer, real PostgreSQL and Redis, real HTTP."""

import time
from collections import Counter
from decimal import Decimal

import pytest
import requests

from conftest import key_of, person
from tests import elsewhere
from tests.concurrency import at_once, eventually
from tests.product import Customer, Product
from tests.standins.provider import ProviderStandIn, error
from usage.models import UsageLog
from usage.redis import client

pytestmark = pytest.mark.live


def customer(product: Product, tier: str | None = None, email: str = "alice@example.dz") -> Customer:
    return Customer(product, key_of(person(email, tier)))


def test_sign_up_log_in_chat_and_see_the_bill(product: Product, standin_server: ProviderStandIn) -> None:
    credentials = {"email": "alice@example.dz", "password": "correct horse battery"}
    registered = requests.post(f"{product.url}/api/auth/register", json=credentials, timeout=30)
    assert registered.status_code == 201, registered.text
    tokens = requests.post(f"{product.url}/api/auth/login", json=credentials, timeout=30).json()
    alice = Customer(product, tokens["access_token"])
    assert alice.get("/api/auth/me").json() == {
        "id": registered.json()["id"],
        "email": "alice@example.dz",
        "tier": "free",
        "is_staff": False,
    }
    key = alice.post("/api/auth/keys", {"name": "laptop"}).json()["key"]
    answer = Customer(product, key).chat().json()
    assert (answer["provider"], answer["quota"]["remaining"]) == ("groq", 2)
    today = alice.get("/api/v2/usage/today").json()
    assert (today["messages_today"], today["max_messages"], today["percentage_used"]) == (1, 3, 33.3)
    page = eventually(lambda: alice.get("/api/v2/usage").json()["results"])
    assert (page[0]["request_id"], page[0]["provider"]) == (answer["id"], "groq")


def test_a_change_of_tier_by_sql_is_in_force_within_five_seconds(product: Product) -> None:
    alice = customer(product)
    assert {answer.json()["tier"] for answer in alice.get_anew("/api/v2/models")} == {"free"}
    elsewhere.sql("INSERT INTO user_tiers (user_id, tier) SELECT id, 'pro' FROM users")
    elsewhere.sql("UPDATE tiers SET messages_per_day = 77 WHERE name = 'pro'")
    time.sleep(5)
    ask = {"prompt": "Bonjour"}
    answers = [alice.post("/api/v2/chat", ask, headers={"Connection": "close"}).json() for _ in range(12)]
    assert {answer["provider"] for answer in answers} == {"openrouter"}
    assert {answer["quota"]["limit"] for answer in answers} == {77}


def test_twelve_at_once_on_a_quota_of_three(product: Product, standin_server: ProviderStandIn) -> None:
    charlie = customer(product)
    statuses = Counter(answer.status_code for answer in at_once(12, charlie.chat)[0])
    assert statuses == {200: 3, 429: 9}
    assert len(standin_server["groq"].calls) == 3


def test_what_failed_is_given_back_under_concurrency(product: Product, standin_server: ProviderStandIn) -> None:
    charlie = customer(product)
    standin_server["groq"].faults = standin_server["openrouter"].faults = [error(500)]
    assert Counter(answer.status_code for answer in at_once(3, charlie.chat)[0]) == {502: 3}
    assert charlie.get("/api/v2/usage/today").json()["messages_today"] == 0
    # The breakers that opened are forgotten, and every process hears of it with its next tick.
    client().delete("health:open", "health:failures")
    time.sleep(1.5)


def test_a_hundred_paid_calls_on_the_last_half_dollar(product: Product, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].output_tokens = None  # it bills all that it was allowed to
    standin_server["openrouter"].input_tokens_per_byte = Decimal(1)
    standin_server["openrouter"].seconds = 0.5
    callers = [customer(product, "enterprise", f"user{number}@example.dz") for number in range(4)]
    callers[0].get("/api/v2/usage/today")
    client().set("budget:today:usd", "49.5")
    turn = iter(range(100))
    answers, _raised = at_once(100, lambda: callers[next(turn) % 4].chat(max_tokens=2000))
    assert {answer.status_code for answer in answers} == {200}
    billed = standin_server["openrouter"].billed
    assert Decimal("0.35") < billed <= Decimal("0.50")
    bodies = [answer.json() for answer in answers]
    assert {body["provider"] for body in bodies if body["budget_fallback"]} == {"groq"}
    # The books agree: what was told to callers, what was billed, the counter, and in a moment the table.
    assert sum(Decimal(str(body["cost"])) for body in bodies) == billed
    assert Decimal(client().get("budget:today:usd")) == Decimal("49.5") + billed
    rows = UsageLog.objects.filter(request_id__in=[body["id"] for body in bodies])
    eventually(lambda: rows.count() == 100)
    assert sum(row.cost_usd for row in rows) == billed


def test_rows_are_in_the_table_within_two_seconds(product: Product) -> None:
    alice = customer(product, "pro")
    answer = alice.chat().json()
    began = time.monotonic()
    eventually(UsageLog.objects.filter(request_id=answer["id"]).exists)
    assert time.monotonic() - began < 2


def test_one_row_per_attempt(product: Product, standin_server: ProviderStandIn) -> None:
    alice = customer(product, "pro")
    standin_server["openrouter"].faults = [error(500), None]
    answer = alice.chat().json()
    rows = UsageLog.objects.filter(request_id=answer["id"]).order_by("attempt")
    eventually(lambda: rows.count() == 2)
    assert [(row.attempt, row.provider, row.error_flag) for row in rows] == [
        (1, "openrouter", True),
        (2, "groq", False),
    ]
