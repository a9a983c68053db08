"""The product under its own supervisor, on a PostgreSQL and a Redis that can be killed, frozen, and set back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import redis
import requests

from iafactory.run import BASE
from iafactory.run import postgres as run_postgres
from iafactory.run import redis as run_redis
from iafactory.run.__main__ import free_port, with_a_free_port
from iafactory.run.leftovers import processes_of
from iafactory.run.postgres import EmbeddedPostgres
from iafactory.run.redis import EmbeddedRedis
from tests.servers import wait_until
from tests.standins.provider import ProviderStandIn

from .books import Billed, Books, Counters, Limits, Row
from .load import Person

TEMPLATE = "fire_template"
NANO = 10**9
# A lease, the sweep after it, and some patience with a busy machine.
SETTLING_SECONDS = 75


class Postgres:
    """A PostgreSQL of the suite's own. Durable: what it committed must outlive its kill."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedPostgres(folder, with_a_free_port(run_postgres.new_url()))
        self.server.prepare()
        self.log = folder.with_suffix(".log").open("ab")
        self.start()

    @property
    def url(self) -> str:
        return urlsplit(self.server.url)._replace(path="/postgres").geturl()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.server.command, user=self.server.system_user, stdout=self.log, stderr=self.log, start_new_session=True
        )
        # Its own recovery may take its time on a busy disk.
        wait_until(lambda: psycopg.connect(self.url, connect_timeout=2).close(), psycopg.OperationalError, 120)

    def signal_all(self, number: signal.Signals) -> None:
        """To the postmaster and its backends, each of which is a session of its own."""
        postmaster = psutil.Process(self.process.pid)
        for process in [postmaster, *postmaster.children()]:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def kill(self) -> None:
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children()]
        self.signal_all(signal.SIGKILL)
        self.process.wait()
        # The next one refuses the data while a backend of this one is left.
        psutil.wait_procs(family, timeout=20)
        (self.server.data / "postmaster.pid").unlink(missing_ok=True)


class Redis:
    """As `make run` has it: append-only, every write on the disk before its answer."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedRedis(folder, with_a_free_port(run_redis.new_url()))
        self.server.prepare()
        self.client = redis.Redis.from_url(self.server.url, socket_timeout=20, decode_responses=True)
        self.start()

    @property
    def file(self) -> Path:
        return self.server.data / "appendonly.aof"

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(self.client.ping, redis.RedisError)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def comes_back(self, file: bytes | None) -> None:
        """After a kill: with this file, or with none."""
        self.file.unlink(missing_ok=True)
        if file is not None:
            self.file.write_bytes(file)
        self.start()


class SlowLine:
    """To Redis; no delay until it is told one."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "tests.faults.line", str(self.port), str(target)]
        self.process = subprocess.Popen(command, cwd=BASE, stdin=subprocess.PIPE, text=True, start_new_session=True)

    def delay(self, seconds: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


@dataclass
class Stage:
    """One round: a database and a Redis of its own, the product, and the stand-in."""

    folder: Path
    postgres_url: str
    standin: ProviderStandIn
    people: list[Person]
    environment: dict[str, str]
    postgres: Postgres | None = None
    line_wanted: bool = False
    budget: int = NANO * 2 // 5
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.var = self.folder / "var"
        self.redis = Redis(self.folder / "redis")
        self.line = SlowLine(self.redis.server.port) if self.line_wanted else None
        self.output = (self.folder / "output").open("ab")

    # The product

    def start(self) -> None:
        url = self.redis.server.url
        if self.line is not None:
            parts = urlsplit(url)
            url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{self.line.port}").geturl()
        values = {
            "POSTGRES_URL": self.postgres_url,
            "REDIS_URL": url,
            "VAR_DIR": str(self.var),
            "PORT": str(self.port),
            "WEB_WORKERS": "2",
            "DAILY_BUDGET_USD": str(self.budget / NANO),
            "GROQ_BASE_URL": self.standin.url("groq"),
            "OPENROUTER_BASE_URL": self.standin.url("openrouter"),
        }
        self.supervisor = subprocess.Popen(
            [sys.executable, "-m", "iafactory.run"],
            cwd=BASE,
            env={**self.environment, **values},
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )
        self.wait_for(lambda: (self.var / "run" / "ready").exists() and self.healthy(), 90)

    def stop(self) -> None:
        """In order, as Ctrl-C does."""
        self.supervisor.send_signal(signal.SIGTERM)
        self.supervisor.wait(180)

    def close(self) -> None:
        if self.supervisor.poll() is None:
            self.stop()
        if self.line is not None:
            self.line.close()
        self.redis.kill()
        self.output.close()

    def healthy(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def kill(self, program: str) -> None:
        """One process of it, with -9: of the web server a worker, not their master."""
        found = list(processes_of(self.var, program))
        family = {process.pid for process in found}
        children = [process for process in found if process.ppid() in family]
        victim = children[0] if program == "web" and children else found[0]
        victim.send_signal(signal.SIGKILL)

    def web_master(self) -> psutil.Process:
        return psutil.Process(self.web_workers()[0].ppid())

    def web_workers(self) -> list[psutil.Process]:
        found = list(processes_of(self.var, "web"))
        family = {process.pid for process in found}
        return [process for process in found if process.ppid() in family]

    def wait_for(self, check: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not check():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:.0f} s; see {self.folder}/output")
            time.sleep(0.1)

    # Its books

    def settle(self) -> bool:
        """Wait until nothing is under way or on its way; whether that came to pass."""
        try:
            self.wait_for(self.healthy, SETTLING_SECONDS)
            self.wait_for(self.settled, SETTLING_SECONDS)
        except TimeoutError:
            return False
        return True

    def settled(self) -> bool:
        client = self.redis.client
        if client.hget("budget:redis", "state") != "open" or client.xlen("usage:stream"):
            return False
        if any(client.hlen(key) for key in client.scan_iter("budget:holds:*")):
            return False
        # What belongs to a living process is released by it within two of its rounds.
        return all(client.ttl(key) != -1 for key in client.scan_iter("quota:open:*"))

    def books(self, peak: int) -> Books:
        with psycopg.connect(self.postgres_url) as connection:
            connection.execute("SET TIME ZONE 'Africa/Algiers'")
            rows = [
                Row(*found)
                for found in connection.execute(
                    """
                    SELECT client_request_id, request_id::text, attempt, user_id, provider,
                           (cost_usd * 1000000000)::bigint, (charged_usd * 1000000000)::bigint, error_flag,
                           estimated, counted, created_at::date
                    FROM llm_usage_logs
                    """
                ).fetchall()
            ]
            limits = {
                user: Limits(None if budget is None else int(budget * NANO), messages)
                for user, budget, messages in connection.execute(
                    """
                    SELECT u.id, t.user_daily_budget_usd, t.messages_per_day FROM users u
                    LEFT JOIN user_tiers ut ON ut.user_id = u.id JOIN tiers t ON t.name = coalesce(ut.tier, 'free')
                    """
                ).fetchall()
            }
            [dead] = connection.execute("SELECT count(*) FROM usage_dead_letters").fetchone() or [0]
        days = sorted({row.day for row in rows})
        return Books(self.budget, limits, self.billed(), rows, counters(self.redis.client, days), peak, dead)

    def taken_for_dead(self) -> int:
        with psycopg.connect(self.postgres_url) as connection:
            found = connection.execute("SELECT count(*) FROM llm_usage_logs WHERE error_message = 'process_died'")
            return int((found.fetchone() or [0])[0])

    def billed(self) -> list[Billed]:
        return [
            Billed(marker_of(call.body), provider, int(call.billed * NANO), call.at)
            for provider in ("groq", "openrouter")
            for call in list(self.standin[provider].calls)
        ]


def marker_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).split(" ")[0]


def counters(client: Any, days: list[date]) -> Counters:
    found = Counters(unreadable=client.hlen("budget:unreadable"), waiting=client.xlen("usage:stream"))
    current = client.get("budget:day")
    by_user = {"spent": found.spent_by, "held": found.held_by}
    for day in days:
        key = "budget:today:usd" if str(day) == current else f"budget:{day}:usd"
        whole, _, part = (client.get(key) or "-1").partition(".")
        found.spent[day] = int(whole) * NANO + int(part.ljust(9, "0")[:9])
        found.held[day] = int(client.get(f"budget:{day}:held") or 0)
        for name, amount in client.hgetall(f"budget:{day}:users").items():
            user, _, what = name.partition(":")
            if what in by_user:
                by_user[what][day, int(user)] = int(amount)
        for user, messages in client.hgetall(f"quota:{day}").items():
            found.messages[day, int(user)] = int(messages)
    for key in client.scan_iter("budget:holds:*"):
        found.holds += client.hlen(key)
    for key in client.scan_iter("quota:open:*"):
        for request_id, about in client.hgetall(key).items():
            user, day = about.split(" ")
            found.open[request_id] = (date.fromisoformat(day), int(user))
    return found


def make_template(admin_url: str, environment: dict[str, str], folder: Path) -> list[Person]:
    """A database with the product's tables and some people in it, to copy for each round."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    url = urlsplit(admin_url)._replace(path=f"/{TEMPLATE}").geturl()
    made = subprocess.run(
        [sys.executable, "-m", "tests.faults.people"],
        cwd=BASE,
        env={**environment, "POSTGRES_URL": url, "VAR_DIR": str(folder)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [Person(**person) for person in json.loads(made.stdout.splitlines()[-1])]


def copy_template(admin_url: str, name: str) -> str:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    return urlsplit(admin_url)._replace(path=f"/{name}").geturl()


def environment() -> dict[str, str]:
    """Nothing of the developer's own settings, and one pepper for all rounds: the people's keys are hashed with it."""
    hidden = ("_API_KEY", "_BASE_URL", "_SECRET_KEY", "_URL")
    kept = {name: value for name, value in os.environ.items() if not name.endswith(hidden)}
    return {
        **kept,
        "ENV_FILE": os.devnull,
        "API_SECRET_KEY": "fire" * 16,
        "API_KEY_PEPPER": "pepper" * 8,
        "GROQ_API_KEY": "gsk_test",
        "OPENROUTER_API_KEY": "sk-or-v1-test",
    }


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
