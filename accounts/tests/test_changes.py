"""What one process knows of changes, and what it still trusts of what it remembers."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from accounts import changes, fresh
from accounts.changes import Known, OutOfDate
from accounts.fresh import Fresh, StoreAway
from accounts.models import ApiKey, User
from tests.concurrency import eventually
from usage import changes as on_redis
from usage.changes import RedisBoard
from usage.errors import RedisAway
from usage.redis import CONNECTIONS, forget_clients
from usage.redis import reaching_redis as really_reaching_redis

ALICE, BOB = 1, 2


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    """A process that knows of nothing."""
    known = Known()
    monkeypatch.setattr(changes, "known", known)
    monkeypatch.setattr(on_redis, "known", known)
    monkeypatch.setattr(fresh, "_store", fresh._Store())
    return known


class Table:
    """A row per user, and how often each was asked for."""

    def __init__(self) -> None:
        self.rows = {ALICE: "free", BOB: "free"}
        self.asked: list[int] = []
        self.meanwhile: Callable[[], None] | None = None

    def load(self, user_id: int) -> str:
        self.asked.append(user_id)
        row = self.rows[user_id]
        if self.meanwhile is not None:
            self.meanwhile()
        return row


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def memory(table: Table) -> Fresh[int, str]:
    return Fresh(table.load, owner=lambda user_id, _row: user_id)


def test_change_of_one_user_is_loaded_and_others_stay_remembered(table: Table, memory: Fresh[int, str]) -> None:
    assert [memory.get(ALICE), memory.get(BOB)] == ["free", "free"]
    table.rows = {ALICE: "pro", BOB: "pro"}
    changes.learn(ALICE, "1", "")
    assert [memory.get(ALICE), memory.get(BOB)] == ["pro", "free"]
    assert table.asked == [ALICE, BOB, ALICE]


def test_change_for_everyone_is_loaded_for_everyone(table: Table, memory: Fresh[int, str]) -> None:
    memory.get(ALICE)
    table.rows[ALICE] = "pro"
    changes.learn(None, "", "1")
    assert memory.get(ALICE) == "pro"


def test_token_that_is_known_changes_nothing(table: Table, memory: Fresh[int, str]) -> None:
    changes.learn(ALICE, "1", "2")
    memory.get(ALICE)
    changes.learn(ALICE, "1", "2")
    changes.learn(ALICE, "", "")
    memory.get(ALICE)
    assert table.asked == [ALICE]


def test_row_that_was_read_before_a_change_is_not_kept_after_it(table: Table, memory: Fresh[int, str]) -> None:
    """Its statement began before the commit, and its answer comes when this process has learned of the change."""

    def change() -> None:
        table.rows[ALICE] = "pro"
        changes.learn(ALICE, "1", "")

    table.meanwhile = change
    memory.get(ALICE)
    table.meanwhile = None
    assert memory.get(ALICE) == "pro"


def test_caller_who_waited_for_anothers_old_row_loads_its_own(table: Table, memory: Fresh[int, str]) -> None:
    reading, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        may_end.wait(10)

    table.meanwhile = wait
    first = threading.Thread(target=memory.get, args=(ALICE,))
    first.start()
    assert reading.wait(10)
    table.rows[ALICE] = "pro"
    table.meanwhile = None
    changes.learn(ALICE, "1", "")
    found: list[str] = []
    second = threading.Thread(target=lambda: found.append(memory.get(ALICE)))
    second.start()
    may_end.set()
    first.join()
    second.join()
    assert found == ["pro"]


def test_decision_that_began_before_a_change_was_learned_is_out_of_date() -> None:
    since = changes.now()
    assert changes.tokens(ALICE, since=since) == ("", "")
    changes.learn(BOB, "1", "")
    assert changes.tokens(ALICE, since=since) == ("", "")
    changes.learn(ALICE, "2", "")
    with pytest.raises(OutOfDate):
        changes.tokens(ALICE, since=since)
    assert changes.tokens(ALICE, since=changes.now()) == ("2", "")


def test_user_who_is_forgotten_is_learned_again(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_USERS", 1)
    changes.learn(ALICE, "1", "")
    changes.learn(BOB, "2", "")
    # '' differs from the token in Redis: the next admission says so.
    assert changes.tokens(ALICE, since=changes.now()) == ("", "")
    assert changes.tokens(BOB, since=changes.now()) == ("2", "")


def test_what_changed_is_not_served_while_it_cannot_be_loaded(table: Table, memory: Fresh[int, str]) -> None:
    memory.get(ALICE)
    memory.get(BOB)
    fresh._store.went_away()
    changes.learn(ALICE, "1", "2")
    with pytest.raises(StoreAway):
        memory.get(ALICE)
    assert memory.get(BOB) == "free"


# Announcing


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    class Board:
        def __init__(self) -> None:
            self.written: list[int | None] = []

        def write(self, concerned: Any) -> None:
            self.written += concerned

    board = Board()
    monkeypatch.setattr(changes, "_board", board)
    return board.written


@pytest.mark.django_db(transaction=True)
def test_change_is_announced_after_the_commit(written: list[int | None]) -> None:
    with transaction.atomic():
        changes.announce_change(user_id=ALICE)
        with transaction.atomic():
            changes.announce_change(user_id=BOB)
        assert written == []
    assert written == [ALICE, BOB]


@pytest.mark.django_db(transaction=True)
def test_change_outlives_a_savepoint_that_announced_it_first_and_was_rolled_back(written: list[int | None]) -> None:
    with transaction.atomic():
        with transaction.atomic():
            changes.announce_change(user_id=ALICE)
            transaction.set_rollback(True)
        changes.announce_change(user_id=ALICE)
    assert written == [ALICE]


@pytest.mark.django_db(transaction=True)
def test_change_that_was_rolled_back_is_not_announced(written: list[int | None]) -> None:
    with transaction.atomic():
        changes.announce_change(user_id=ALICE)
        transaction.set_rollback(True)
    assert written == []


@pytest.mark.django_db(transaction=True)
def test_row_that_gets_another_owner_concerns_both(written: list[int | None]) -> None:
    alice, bob = (User.objects.create_user(f"{name}@example.dz", "x") for name in ("alice", "bob"))
    key = ApiKey.objects.issue(user_id=alice.pk, name="")[0]
    written.clear()
    row = ApiKey.objects.get(pk=key.pk)
    row.user = bob
    row.save()
    assert sorted(filter(None, written)) == [alice.pk, bob.pk]


@pytest.mark.django_db(transaction=True)
def test_statement_over_many_users_concerns_everyone(
    written: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.announcing.MOST_USERS", 2)
    users = User.objects.bulk_create(User(email=f"{number}@example.dz") for number in range(3))
    written.clear()
    User.objects.filter(pk__in=[user.pk for user in users[:2]]).update(is_active=False)
    assert sorted(filter(None, written)) == [users[0].pk, users[1].pk]
    written.clear()
    User.objects.update(is_active=True)
    assert written == [None]


@pytest.mark.django_db(transaction=True)
def test_columns_that_no_memory_holds_are_not_announced(written: list[int | None]) -> None:
    user = User.objects.create_user("alice@example.dz", "x")
    written.clear()
    User.objects.update(language="ar")
    user.save(update_fields=["last_login"])
    assert written == []
    user.save(update_fields=["last_login", "password"])
    assert written == [user.pk]


# Redis


def test_announcement_that_redis_missed_is_written_when_it_is_back(
    redis: Any, monkeypatch: pytest.MonkeyPatch, known: Known
) -> None:
    tries, written = [RedisAway(), RedisAway()], threading.Event()

    def reaching_redis() -> Any:
        if tries:
            raise tries.pop()
        written.set()
        return really_reaching_redis()

    monkeypatch.setattr(on_redis, "reaching_redis", reaching_redis)
    monkeypatch.setattr(on_redis, "BLIND_SECONDS", 0.01)
    board = RedisBoard()
    board.write([ALICE])
    board.write([BOB, None])
    assert written.wait(10)
    eventually(lambda: not board._retrying)
    assert {redis.exists(on_redis.key(user_id)) for user_id in (ALICE, BOB, None)} == {1}
    assert known.of(ALICE).token == redis.get(on_redis.key(ALICE))


def test_request_does_not_wait_a_second_time_for_a_redis_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def reaching_redis() -> Any:
        nonlocal asked
        asked += 1
        raise RedisAway

    monkeypatch.setattr(on_redis, "reaching_redis", reaching_redis)
    monkeypatch.setattr(changes, "_board", RedisBoard())
    for _ in range(5):
        changes.look(ALICE)
    assert (asked, changes.is_blind()) == (1, True)
    changes.look(ALICE, even_if_blind=True)
    assert asked == 2


def test_outage_of_redis_is_logged_when_it_begins(
    redis: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = iter([True, True, False, True])

    def reaching_redis() -> Any:
        if next(away):
            raise RedisAway
        return really_reaching_redis()

    monkeypatch.setattr(on_redis, "reaching_redis", reaching_redis)
    monkeypatch.setattr(on_redis, "BLIND_SECONDS", 0)
    board = RedisBoard()
    for _ in range(4):
        board.read(ALICE)
    assert len(caplog.records) == 2


def test_change_is_written_and_read_while_every_connection_of_the_pool_is_busy(redis: Any) -> None:
    pool = redis.connection_pool
    busy = [pool.get_connection() for _ in range(CONNECTIONS)]
    try:
        RedisBoard().write([ALICE])
        found = RedisBoard().read(ALICE)
    finally:
        for connection in busy:
            pool.release(connection)
    assert found == (redis.get(on_redis.key(ALICE)), "")


def test_command_without_a_redis_announces_nothing(settings: Any) -> None:
    settings.REDIS_URL = ""
    forget_clients()
    try:
        board = RedisBoard()
        board.write([ALICE])
        assert not board.is_blind()
    finally:
        forget_clients()


def test_tokens_outlive_everything_that_is_remembered(redis: Any) -> None:
    RedisBoard().write([ALICE, None])
    assert min(redis.ttl(on_redis.key(user_id)) for user_id in (ALICE, None)) > 2 * fresh.STALE_SECONDS
