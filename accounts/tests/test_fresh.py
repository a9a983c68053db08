"""What a process remembers of PostgreSQL, where a crowd asks for it."""

import threading
import time

import pytest
from django.db import DEFAULT_DB_ALIAS, connections

from accounts.fresh import Fresh, release_connection


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_anothers_question_holds_no_connection() -> None:
    """A pool's worth of them would each wait for the one who asks, and that one for a connection of theirs."""
    asking = threading.Event()
    held: list[bool] = []

    def ask(key: str) -> str:
        asking.set()
        deadline = time.monotonic() + 5
        while waiter.connection is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        held.append(waiter.connection is not None)
        return key

    memory = Fresh(ask)
    waiter = connections[DEFAULT_DB_ALIAS]
    waiter.ensure_connection()
    asks = threading.Thread(target=memory.get, args=("tiers",))
    asks.start()
    assert asking.wait(5)
    assert memory.get("tiers") == "tiers"
    asks.join()
    assert held == [False]
    release_connection()
