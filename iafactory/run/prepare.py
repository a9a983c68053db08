"""Once per start, under the supervisor: wait for the servers, migrate, load, open the doors, print the way in."""

import io
import json
import os
import signal
import sys
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql

from . import Workplace
from .__main__ import write_private
from .chargily import playing

SERVERS_SECONDS = 60
WEB_SECONDS = 60


class Trouble(Exception):
    """What went wrong, and what to do about it."""


def main() -> int:
    place = Workplace.of(os.environ)
    try:
        wait_for_postgres()
        wait_for_redis()
        write_private(place.services_env, {name: os.environ[name] for name in ("POSTGRES_URL", "REDIS_URL")})
        lines = migrate_and_load()
        place.ready.touch()
        wait_for_web()
    except Exception as trouble:
        say_what_to_do(trouble, place.log)
        place.failed.touch()
        # The supervisor stops the rest, in order.
        os.kill(os.getppid(), signal.SIGTERM)
        return 1
    print("\n".join(lines), flush=True)
    return 0


def wait_for_postgres() -> None:
    url = os.environ["POSTGRES_URL"]
    name = urlsplit(url).path.strip("/")
    deadline = time.monotonic() + SERVERS_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=3).close()
            return
        except psycopg.OperationalError as error:
            if f'database "{name}" does not exist' in str(error):
                create_database(url, name)
            elif time.monotonic() > deadline:
                raise Trouble(f"PostgreSQL does not answer: {str(error).strip()}") from error
            time.sleep(0.2)


def create_database(url: str, name: str) -> None:
    with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def wait_for_redis() -> None:
    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=3)
    deadline = time.monotonic() + SERVERS_SECONDS
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            if time.monotonic() > deadline:
                raise Trouble(f"Redis does not answer: {error}") from error
            time.sleep(0.2)


def migrate_and_load() -> list[str]:
    """Bring the database up to date; what to print once everything answers."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iafactory.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    quiet = io.StringIO()
    call_command("check", databases=["default"], fail_level="ERROR", stdout=quiet)
    call_command("migrate", verbosity=0, skip_checks=True)
    call_command("load_tiers", stdout=quiet)
    call_command("load_models", stdout=quiet)
    return way_in() if settings.DEVELOPMENT else [f"IA Factory is running at {address()}."]


def way_in() -> list[str]:
    from iafactory.demo import demo_account
    from llmrouter.providers.registry import PROVIDERS, connection

    demo = demo_account()
    real = [name for name in PROVIDERS if name != "demo" and connection(name)]
    return [
        "",
        f"IA Factory is running at {address()}",
        f"  docs      {address()}/api/docs",
        f"  admin     {address()}/admin/",
        f"  account   {demo.email}  password {demo.password}  (tier pro, staff)",
        f"  providers {', '.join(real) or 'demo (no key in .env.local; see .env.example)'}",
        *(["  payments  played here, no money moves (no CHARGILY_SECRET_KEY)"] if playing() else []),
        "  servers   var/services.env",
        "",
        "Try it:",
        f"  curl -s {address()}/api/v2/chat -H 'Authorization: Bearer {demo.api_key}' \\",
        "    -H 'Content-Type: application/json' -d '{\"prompt\": \"Bonjour ! Qui es-tu ?\"}'",
        "",
        "Ctrl-C stops everything.",
    ]


def wait_for_web() -> None:
    deadline = time.monotonic() + WEB_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address()}/health", timeout=5) as response:
                json.load(response)
                return
        except (urllib.error.URLError, OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise Trouble(f"The web server does not answer at {address()}: {error}") from error
            time.sleep(0.2)


def address() -> str:
    return f"http://localhost:{os.environ.get('PORT') or 8000}"


def say_what_to_do(trouble: Exception, log: Path) -> None:
    if isinstance(trouble, Trouble):
        print(f"\nIA Factory did not start. {trouble}\nThe logs are in {log}.", flush=True)
        return
    traceback.print_exception(trouble, file=sys.stdout)
    print(f"\nIA Factory did not start: {trouble}\nThe logs are in {log}.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
