"""PostgreSQL and Redis for the tests: those of POSTGRES_URL and REDIS_URL, else embedded ones under `var/test`.

A pytest plugin, loaded before Django's settings are read. The tests see nothing of the developer's own settings.
"""

import atexit
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from iafactory.run import postgres as run_postgres
from iafactory.run import redis as run_redis
from iafactory.run.__main__ import with_a_free_port
from iafactory.run.postgres import EmbeddedPostgres
from iafactory.run.redis import EmbeddedRedis

VAR = Path(__file__).resolve().parent.parent / "var" / "test"
# Money, cache and broker use this database of Redis and the next two.
REDIS_DATABASE = 9
OURS = ("POSTGRES_URL", "REDIS_URL")
# Nothing that a test does may reach a real mailbox or phone.
ALERTS = ("ALERT_", "EMAIL_", "TELEGRAM_", "WHATSAPP_")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    """A wrapper, so that it comes before pytest-django reads the settings."""
    if not all(os.environ.get(name) for name in OURS):
        wait_for_my_turn()
    hide_the_developers_settings()
    if not os.environ.get("POSTGRES_URL"):
        os.environ["POSTGRES_URL"] = start_postgres()
    url = os.environ.get("REDIS_URL") or start_redis()
    os.environ["REDIS_URL"] = urlsplit(url)._replace(path=f"/{REDIS_DATABASE}").geturl()
    yield


def wait_for_my_turn() -> None:
    """Two runs in one checkout would start two servers on the same files."""
    VAR.mkdir(parents=True, exist_ok=True)
    # Closed with the process, and by it alone: no child inherits it.
    lock = os.open(VAR / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for the other test run of this checkout to end…", file=sys.stderr)  # noqa: T201
        fcntl.flock(lock, fcntl.LOCK_EX)


def hide_the_developers_settings() -> None:
    os.environ["ENV_FILE"] = os.devnull
    kept = {name: os.environ[name] for name in OURS if name in os.environ}
    for name in list(os.environ):
        secret = name.endswith(("_API_KEY", "_BASE_URL", "_SECRET_KEY")) or name.startswith(ALERTS)
        if secret or name in {"APP_ENV", "DAILY_BUDGET_USD", *OURS}:
            del os.environ[name]
    os.environ.update(kept)


def start_postgres() -> str:
    # Nothing of it outlives the tests, so nothing of it needs to reach the disk.
    kept = VAR / "postgres.url"
    url = with_a_free_port(kept.read_text() if kept.exists() else run_postgres.new_url())
    kept.write_text(url)
    server = EmbeddedPostgres(VAR / "postgres", url, durable=False)
    server.prepare()
    (server.data / "postmaster.pid").unlink(missing_ok=True)
    start(server.command, user=server.system_user, stop_with="INT", log=VAR / "postgres.log")
    admin = urlsplit(url)._replace(path="/postgres").geturl()
    wait_until(lambda: psycopg.connect(admin, connect_timeout=2).close(), psycopg.OperationalError)
    return url


def start_redis() -> str:
    server = EmbeddedRedis(VAR / "redis", with_a_free_port(run_redis.new_url()), durable=False)
    server.prepare()
    start(server.command, user=None, stop_with="TERM", log=VAR / "redis.log")
    client = redis.Redis.from_url(server.url)
    wait_until(client.ping, redis.RedisError)
    return server.url


def start(command: list[str], *, user: str | None, stop_with: str, log: Path) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(command, user=user, stdout=output, stderr=output, start_new_session=True)
    atexit.register(stop, process, stop_with)


def stop(process: "subprocess.Popen[bytes]", signal_name: str) -> None:
    process.send_signal(getattr(signal, f"SIG{signal_name}"))
    process.wait(timeout=20)


def wait_until(attempt: object, trouble: type[Exception], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()  # type: ignore[operator]
            return
        except trouble:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
