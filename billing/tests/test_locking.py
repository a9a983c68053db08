"""The lock on somebody's subscription, against a change of tier that commits while it is waited for."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from billing import subscriptions
from billing.models import UserTier


def test_the_lock_sees_the_tier_that_another_transaction_has_just_given(committed: None, bob: User) -> None:
    """A webhook and the success page settle two payments of one person at once, the first of them for another tier."""
    UserTier.objects.update(expires_at=timezone.now() + timedelta(days=3))
    found: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        try:
            with transaction.atomic():
                waiting.set()
                found.append(subscriptions.lock(bob.pk).tier.name)
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        held = subscriptions.lock(bob.pk)
        thread.start()
        waiting.wait()
        wait_until_somebody_waits()
        held.tier_id = "pro"
        held.save(update_fields=["tier"])
    thread.join()
    assert found == ["pro"]


def wait_until_somebody_waits() -> None:
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    pytest.fail("nobody waits for the lock")
