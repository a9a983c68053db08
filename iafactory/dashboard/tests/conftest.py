"""Staff's programs and browsers, and a day to look at."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from accounts.tokens import issue_tokens
from billing.models import PaymentTransaction
from usage import budget


def pay(user: User, *, tier: str = "student", amount: int = 1590, rate: str = "230", **columns: Any) -> None:
    """A payment that was applied, as the guide's exercise has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    PaymentTransaction.objects.create(
        user=user,
        tier_id=tier,
        amount_dzd=amount,
        dzd_per_usd=Decimal(rate),
        **{"status": "paid", "paid_at": now, **columns},
    )


@pytest.fixture
def as_staff(sara: User) -> Client:
    """Sara's program, with her JWT."""
    return with_jwt(sara)


def with_jwt(user: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {issue_tokens(user).access}"})


@pytest.fixture
def at_the_admin(sara: User) -> Client:
    """Sara's browser."""
    client = Client(headers={"Accept": "text/html", "Accept-Language": "en"})
    client.force_login(sara)
    return client


@pytest.fixture
def spend(redis: Any) -> Callable[[str], None]:
    """As an operator in an exercise: `SET budget:today:usd 5.23`."""

    def put(usd: str) -> None:
        budget.counters()
        redis.set("budget:today:usd", usd)

    return put
