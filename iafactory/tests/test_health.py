"""`/health` says 503 where a server is away, and not where it only refuses or is busy."""

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from psycopg_pool import PoolTimeout
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from iafactory import probes
from usage.redis import CONNECTIONS, client

pytestmark = pytest.mark.django_db


class Failing:
    """A server whose every question fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def ask(self, *command: Any) -> Any:
        raise self.error

    def cursor(self) -> Any:
        raise self.error


def test_health_is_well_while_every_connection_of_the_pool_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = OperationalError("no connection in time")
    busy.__cause__ = PoolTimeout()
    monkeypatch.setattr(probes, "connection", Failing(busy))
    assert Client().get("/health").status_code == 200


def test_health_is_unavailable_without_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "connection", Failing(OperationalError("refused")))
    answer = Client().get("/health")
    assert (answer.status_code, answer.json()["checks"]["postgres"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL"), 200),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"), 503),
        (RedisConnectionError("refused"), 503),
    ],
)
def test_busy_redis_is_there(error: Exception, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "line", lambda: Failing(error))
    assert Client().get("/health").status_code == status


def test_health_is_well_while_every_connection_to_redis_is_busy() -> None:
    pool = client().connection_pool
    busy = [pool.get_connection() for _ in range(CONNECTIONS)]
    try:
        assert Client().get("/health").status_code == 200
    finally:
        for connection in busy:
            pool.release(connection)
