"""The product for a measurement, complete: PostgreSQL and Redis as durable as `make run`'s, gunicorn, the drainer.

Everything lies under `var/bench` and is on free ports; the developer's own settings are not seen.
"""

import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import redis

from iafactory.run import BASE
from iafactory.run import postgres as run_postgres
from iafactory.run import redis as run_redis
from iafactory.run.__main__ import free_port, with_a_free_port
from iafactory.run.postgres import EmbeddedPostgres
from iafactory.run.prepare import create_database
from iafactory.run.redis import EmbeddedRedis

from . import processes

BENCH = BASE / "var" / "bench"
# The environment that `make var/bench/venv/installed` makes; without it the stand-ins are slower, and do.
VENV_PYTHON = BENCH / "venv" / "bin" / "python"
# Where PostgreSQL and Redis keep their data meanwhile. On a disk that others keep busy each commit waits for them; with
# BENCH_DATA=/dev/shm/bench it is memory, and then the figures say nothing of the disk.
DATA = Path(os.environ.get("BENCH_DATA") or BENCH)
USERS = 50


def tool_python() -> str:
    return str(VENV_PYTHON) if VENV_PYTHON.exists() else sys.executable


@dataclass
class Upstream:
    """The stand-in for every provider, in a process of its own."""

    port: int
    process: "subprocess.Popen[bytes]"

    def url(self, provider: str = "any") -> str:
        return f"http://127.0.0.1:{self.port}/{provider}/v1"

    def set(self, **behaviour: float) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/set?{urlencode(behaviour)}", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def upstream() -> Iterator[Upstream]:
    port = free_port()
    process = subprocess.Popen([tool_python(), "-m", "benchmarks.upstream", str(port)], cwd=BASE)
    try:
        processes.wait_for_port(port, process)
        yield Upstream(port, process)
    finally:
        processes.end(process)


def load(python: str | None = None, **wanted: Any) -> dict[str, Any]:
    """What callers in a process of their own saw; see `load.Wanted`."""
    command = [python or tool_python(), "-m", "benchmarks.load", json.dumps(wanted)]
    done = subprocess.run(command, cwd=BASE, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@dataclass
class Product:
    """The running product: where it is, who may call it, and its processes by their names."""

    url: str
    keys: list[str] = field(default_factory=list)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def pids(self, *names: str) -> list[int]:
        return [self.processes[name].pid for name in names]

    def cpu(self) -> dict[str, float]:
        return {name: processes.cpu_seconds([process.pid]) for name, process in self.processes.items()}

    def wait_until_drained(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        client = redis.Redis.from_url(os.environ["REDIS_URL"])
        while client.xlen("usage:stream"):
            if time.monotonic() > deadline:
                raise RuntimeError("the drainer does not come after")
            time.sleep(0.1)


@contextmanager
def servers(*, keep: bool = False) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """PostgreSQL and Redis, empty unless `keep`; their addresses in the environment; Django set up on them."""
    if not keep:
        shutil.rmtree(DATA / "postgres", ignore_errors=True)
        shutil.rmtree(DATA / "redis", ignore_errors=True)
    for folder in (BENCH, DATA):
        folder.mkdir(parents=True, exist_ok=True)
    kept = BENCH / "postgres.url"
    postgres_url = kept.read_text() if keep and kept.exists() else run_postgres.new_url()
    postgres = EmbeddedPostgres(DATA / "postgres", with_a_free_port(postgres_url))
    kept.write_text(postgres.url)
    store = EmbeddedRedis(DATA / "redis", with_a_free_port(run_redis.new_url()))
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for server, name in ((postgres, "postgres"), (store, "redis")):
            server.prepare()
            user = server.system_user if isinstance(server, EmbeddedPostgres) else None
            with (BENCH / f"{name}.log").open("wb") as log:
                started[name] = subprocess.Popen(
                    server.command, user=user, stdout=log, stderr=log, start_new_session=True
                )
        settings_for(postgres.url, store.url)
        wait_for_servers(postgres.url, store.url)
        migrate()
        yield started
    finally:
        for process in started.values():
            # INT is PostgreSQL's fast shutdown, and Redis obeys it too.
            process.send_signal(2)
            process.wait(timeout=60)


def settings_for(postgres_url: str, redis_url: str) -> None:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_SECRET_KEY")):
            del os.environ[name]
    os.environ |= {
        "ENV_FILE": os.devnull,
        "APP_ENV": "development",
        "VAR_DIR": str(BENCH),
        "POSTGRES_URL": postgres_url,
        "REDIS_URL": redis_url,
        "API_SECRET_KEY": secrets.token_hex(32),
        "API_KEY_PEPPER": secrets.token_hex(32),
        "DAILY_BUDGET_USD": "900000",
        "DJANGO_SETTINGS_MODULE": "iafactory.settings",
    }


def wait_for_servers(postgres_url: str, redis_url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(urlsplit(postgres_url)._replace(path="/postgres").geturl(), connect_timeout=2).close()
            redis.Redis.from_url(redis_url).ping()
            break
        except (psycopg.OperationalError, redis.RedisError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    with suppress(psycopg.errors.DuplicateDatabase):
        create_database(postgres_url, run_postgres.DATABASE)


def migrate() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, skip_checks=True)
    for command in ("load_tiers", "load_models"):
        call_command(command, stdout=io.StringIO())


def callers(number: int = USERS) -> list[str]:
    """Keys of so many new customers on `enterprise`, whose limits are checked like anybody's and never reached."""
    from accounts.models import ApiKey, User
    from billing.models import Tier, UserTier

    Tier.objects.filter(name="enterprise").update(messages_per_day=100_000_000, requests_per_minute=10_000_000)
    found = []
    for _ in range(number):
        user = User.objects.create(email=f"{secrets.token_hex(8)}@bench.dz")
        UserTier.objects.create(user=user, tier_id="enterprise")
        found.append(ApiKey.objects.issue(user_id=user.pk, name="bench")[1])
    return found


@contextmanager
def product(provider: Upstream, *, workers: int = 2, keep: bool = False) -> Iterator[Product]:
    with servers(keep=keep) as started:
        keys = callers()
        port = free_port()
        log = (BENCH / "product.log").open("wb")
        environment = {
            **os.environ,
            "PORT": str(port),
            "WEB_WORKERS": str(workers),
            # Put together here, so that nobody takes them for keys.
            "GROQ_API_KEY": "-".join(["gsk", "bench"]),
            "GROQ_BASE_URL": provider.url("groq"),
            "OPENROUTER_API_KEY": "-".join(["sk", "or", "bench"]),
            "OPENROUTER_BASE_URL": provider.url("openrouter"),
        }
        commands = {
            "web": ["-m", "gunicorn", "--config=iafactory/gunicorn.py", "iafactory.wsgi"],
            "drainer": ["manage.py", "drain_usage", "--skip-checks"],
        }
        running = Product(f"http://127.0.0.1:{port}", keys, dict(started))
        try:
            for name, command in commands.items():
                running.processes[name] = subprocess.Popen(
                    [sys.executable, *command], cwd=BASE, env=environment, stdout=log, stderr=log
                )
            wait_until_healthy(running.url)
            yield running
        finally:
            for name in commands:
                if name in running.processes:
                    processes.end(running.processes[name])
            log.close()


def wait_until_healthy(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            if answer.status == 200:
                return
        if time.monotonic() > deadline:
            raise RuntimeError("the product did not come up; see var/bench/product.log")
        time.sleep(0.2)


def bench_path(name: str) -> Path:
    BENCH.mkdir(parents=True, exist_ok=True)
    return BENCH / name
