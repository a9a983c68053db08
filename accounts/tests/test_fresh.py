"""What a process remembers of PostgreSQL, where a crowd asks for it."""

import threading
import time

import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

from accounts import fresh
from accounts.errors import BadCredentials
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


def test_garbage_does_not_keep_others_from_finding_out_that_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "_store", fresh._Store())
    monkeypatch.setattr(fresh, "FRESH_SECONDS", 0)
    monkeypatch.setattr(fresh, "ASK_AGAIN_SECONDS", 0.2)
    is_away, asked = False, 0

    def ask(token: str) -> str:
        nonlocal asked
        if token == "garbage":
            raise BadCredentials
        asked += 1
        if is_away:
            raise OperationalError
        return token

    memory = Fresh(ask)
    memory.get("alice")
    is_away = True
    assert memory.get("alice") == "alice"
    is_away = False
    time.sleep(0.25)
    # The second in which one may find out has come: garbage comes first, and says nothing of PostgreSQL.
    with pytest.raises(BadCredentials):
        memory.get("garbage")
    assert memory.get("alice") == "alice"
    assert asked == 3
