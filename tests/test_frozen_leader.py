"""A leader of a recovery that stands still is replaced, and cannot do harm when it wakes up.

The leader is a process of its own, stopped with SIGSTOP in the middle of its count, like a virtual machine on pause.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from iafactory.run import BASE
from usage import budget, drainer, leadership
from usage.admission import Usage, admit
from usage.drainer import drain
from usage.errors import NotNow
from usage.models import UsageLog
from usage.process import this_process
from usage.redis import client
from usage.tests.calls import GOOD, ask

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 60


class Leader:
    def __init__(self, where: str, sign_of_life_seconds: float) -> None:
        database = connection.settings_dict
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.standing_leader", where, str(sign_of_life_seconds)],
            cwd=BASE,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "iafactory.settings",
                "POSTGRES_URL": "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**database),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.says("there")

    def says(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(f"the leader ended without a word: {self.process.wait()}")

    def last_word(self) -> str:
        """What came of it, once it goes on."""
        self.process.send_signal(signal.SIGCONT)
        output, _ = self.process.communicate("go on\n" * 10, timeout=SECONDS)
        return output.strip().splitlines()[-1]

    def stand_still(self) -> None:
        self.process.send_signal(signal.SIGSTOP)


@pytest.fixture
def leader_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Leader]]:
    """A product that has spent 0.003 USD, whose Redis lost everything; a process leads its recovery."""
    monkeypatch.setattr(leadership, "FROZEN_SECONDS", 0.1)
    made: list[Leader] = []

    def begin(where: str, sign_of_life_seconds: float = 2.0) -> Leader:
        admit(ask()).attempt(0).settle(Usage(cost=3_000_000))
        drain()
        client().flushdb()
        made.append(Leader(where, sign_of_life_seconds))
        return made[0]

    yield begin
    for leader in made:
        leader.process.kill()
        leader.process.communicate()


def until_served() -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            budget.counters(1)
            return
        except NotNow:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("where", ["lock", "claim", "count"])
def test_a_frozen_leader_is_replaced_and_writes_nothing_when_it_wakes_up(
    leader_at: Callable[[str], Leader], where: str
) -> None:
    leader = leader_at(where)
    leader.stand_still()
    until_served()
    this_process().tick()
    admit(ask()).attempt(0).settle(Usage(cost=4_000_000))
    held = admit(ask()).attempt(0)
    epoch = client().hget("budget:redis", "epoch")
    assert leader.last_word() != "recovered"
    now = budget.counters(1)
    assert (now.spent, now.held, now.user_spent, now.messages) == (7_000_000, GOOD.ceiling, 7_000_000, 3)
    assert client().hget("budget:redis", "epoch") == epoch
    held.unsent()


def test_a_leader_that_only_takes_long_is_not_replaced(leader_at: Callable[..., Leader]) -> None:
    # Long enough for a machine that is busy with other things.
    leader = leader_at("count", sign_of_life_seconds=30.0)
    for _ in range(2):
        with pytest.raises(NotNow):
            budget.counters(1)
    assert leader.last_word() == "recovered"
    until_served()
    assert budget.counters(1).spent == 3_000_000


def test_a_leader_that_is_killed_is_followed_at_once(leader_at: Callable[[str], Leader]) -> None:
    leader = leader_at("count")
    leader.process.kill()
    leader.process.wait()
    until_served()
    assert budget.counters(1).spent == 3_000_000


def test_the_drainer_goes_on_behind_a_frozen_leader(
    leader_at: Callable[[str], Leader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader has locked the ledger's row."""
    monkeypatch.setattr(drainer, "LOCK_SECONDS", 1)
    leader = leader_at("count")
    leader.stand_still()
    client().delete(leadership.SIGN_OF_LIFE)
    client().xadd("usage:stream", {"day": "2026-11-28", "user": 1, "moved": 0, "row": "not json"})
    moved = 0
    for _ in range(20):
        try:
            moved = drain()
            break
        except Exception:  # noqa: BLE001 (the lock was not to be had; now the leader is replaced)
            connection.close()
    assert moved == 1
    assert leader.last_word() != "recovered"


def test_a_rebuild_may_take_longer_than_a_statement_otherwise_may(
    leader_at: Callable[[str], Leader], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """A trigger of the count: it sleeps for longer than the limit of every statement."""
    admit(ask()).attempt(0).settle(Usage(cost=3_000_000))
    drain()
    client().flushdb()
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '200ms'")
        cursor.execute("ALTER TABLE llm_usage_logs RENAME TO llm_usage_logs_of_many")
        cursor.execute(
            "CREATE VIEW llm_usage_logs AS SELECT rows.* FROM llm_usage_logs_of_many AS rows, LATERAL "
            "(SELECT pg_sleep(0.3 + 0 * rows.id)) AS slow"
        )
    try:
        until_served()
        assert budget.counters(1).spent == 3_000_000
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("DROP VIEW llm_usage_logs")
            cursor.execute("ALTER TABLE llm_usage_logs_of_many RENAME TO llm_usage_logs")
        # The limit belongs to a session, and the pool may have kept that one for another test.
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
    assert UsageLog.objects.count() == 1
