"""PostgreSQL frozen, killed, and back: callers in cache are served, nobody is told 401, no row is lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import requests

from iafactory.run import BASE
from iafactory.run import postgres as run_postgres
from iafactory.run.__main__ import with_a_free_port
from iafactory.run.postgres import EmbeddedPostgres
from tests.product import Customer, Product
from tests.servers import VAR, wait_until
from tests.standins.provider import ProviderStandIn

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


class Database:
    def __init__(self, folder: Path) -> None:
        # Durable, for it is killed: without, it forgets the last row that it had committed and counted.
        self.server = EmbeddedPostgres(folder / "postgres", with_a_free_port(run_postgres.new_url()))
        self.server.prepare()
        self.log = (folder / "postgres.log").open("wb")
        self.start()
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute("CREATE DATABASE iafactory")

    @property
    def admin(self) -> str:
        return urlsplit(self.server.url)._replace(path="/postgres").geturl()

    def start(self) -> None:
        self.process = subprocess.Popen(
            # Its files outlive it; only a machine that dies needs more, and a disk may take a second for that.
            [*self.server.command, "-c", "fsync=off"],
            user=self.server.system_user,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        wait_until(lambda: psycopg.connect(self.admin, connect_timeout=2).close(), psycopg.OperationalError)

    def signal_all(self, number: signal.Signals) -> None:
        """To the postmaster and its backends, each of which is a session of its own."""
        postmaster = psutil.Process(self.process.pid)
        for process in [postmaster, *postmaster.children()]:
            process.send_signal(number)

    def kill(self) -> None:
        self.signal_all(signal.SIGKILL)
        self.process.wait()
        (self.server.data / "postmaster.pid").unlink(missing_ok=True)

    def rows(self) -> int:
        with psycopg.connect(self.server.url) as connection:
            found = connection.execute("SELECT count(*) FROM llm_usage_logs").fetchone()
            assert found is not None
            return int(found[0])


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    # Not under pytest's folder: the next run of it closes that to everybody but root, and to PostgreSQL's user.
    folder = VAR / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    database = Database(folder)
    yield database
    database.kill()


@pytest.fixture(scope="module")
def product(database: Database, standin_server: ProviderStandIn) -> Iterator[Product]:
    redis_url = urlsplit(os.environ["REDIS_URL"])._replace(path="/12").geturl()
    environment = {
        "POSTGRES_URL": database.server.url,
        "REDIS_URL": redis_url,
        "GROQ_API_KEY": "gsk_test",
        "GROQ_BASE_URL": standin_server.url("groq"),
    }
    for command in ("migrate", "load_tiers", "load_models"):
        subprocess.run(
            [sys.executable, "manage.py", command, "--skip-checks"],
            cwd=BASE,
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
        )
    product = Product(environment)
    yield product
    product.stop()


def sign_up(product: Product, email: str) -> Customer:
    credentials = {"email": email, "password": "correct horse battery"}
    answer = requests.post(f"{product.url}/api/auth/register", json=credentials, timeout=30)
    return Customer(product, answer.json()["access_token"])


def warmed_up(product: Product, customer: Customer) -> None:
    """Until both workers know the caller (each remembers for itself)."""
    for _ in range(30):
        customer.get_anew("/api/auth/me", times=1)
        time.sleep(0.01)


def test_frozen_it_delays_nobody_it_knows_for_long(product: Product, database: Database) -> None:
    alice, stranger = sign_up(product, "alice@example.dz"), "Bearer iaf_" + "x" * 40
    warmed_up(product, alice)
    assert alice.chat().status_code == 200
    time.sleep(5.5)  # what is remembered is fresh no longer
    database.signal_all(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert alice.chat().status_code == 200
        assert time.monotonic() - began < 15
        answer = requests.post(
            f"{product.url}/api/v2/chat", json={"prompt": "a"}, headers={"Authorization": stranger}, timeout=30
        )
        assert answer.status_code == 503
        health = requests.get(f"{product.url}/health", timeout=30)
        assert (health.status_code, health.json()["checks"]) == (503, {"postgres": "unavailable", "redis": "ok"})
    finally:
        database.signal_all(signal.SIGCONT)
    product.wait_until_healthy()


def test_killed_it_is_done_without_and_the_rows_wait(product: Product, database: Database) -> None:
    bob = sign_up(product, "bob@example.dz")
    warmed_up(product, bob)
    assert bob.chat().status_code == 200
    before = database.rows()
    database.kill()
    assert bob.chat().status_code == 200
    time.sleep(6)
    assert bob.chat().status_code == 200
    assert bob.chat().json()["error"]["code"] == "quota_exceeded"
    database.start()
    deadline = time.monotonic() + 30
    while database.rows() < before + 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    product.wait_until_healthy()
    assert bob.get("/api/auth/me").status_code == 200
