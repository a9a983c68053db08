"""The way in of `make run`."""

import fcntl
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from supervisor import supervisord

from iafactory.env import Env, env_file, read_env_file, read_environment

from . import Workplace, chargily, postgres, redis
from .leftovers import stop_leftovers
from .postgres import EmbeddedPostgres
from .programs import STOPPING_ORDER, configuration, embedded_programs, our_programs
from .redis import EmbeddedRedis


def main() -> int:
    env = Env(read_environment(env_file()))
    # What the programs read from their environment (PORT, say) may stand in the file.
    os.environ |= env.values
    place = Workplace.of(env.values)
    for folder in (place.run, place.log):
        folder.mkdir(parents=True, exist_ok=True)
    lock = claim(place)
    if lock is None:
        print("IA Factory is already running from this folder. Stop that one first (Ctrl-C in its terminal).")
        return 1
    for program in stop_leftovers(place.var, STOPPING_ORDER):
        print(f"Stopped the {program} that an earlier, killed run had left.", flush=True)
    port = env.integer("PORT", 8000)
    if not 0 < port < 65536:
        raise ImproperlyConfigured("PORT must be a number from 1 to 65535.")
    if free_port(port) != port:
        print(f"Port {port} is taken. Stop what listens there, or choose another: PORT=8001 make run")
        return 1
    for stale in (place.ready, place.failed, place.services_env):
        stale.unlink(missing_ok=True)

    embedded = embedded_servers(env, place)
    if embedded and env.text("APP_ENV") == "production":
        print("APP_ENV=production needs servers of its own: set POSTGRES_URL and REDIS_URL.")
        return 1
    for server in embedded:
        if isinstance(server, EmbeddedPostgres) and not server.exists:
            print(f"Making an embedded PostgreSQL in {server.data}…", flush=True)
        server.prepare()
    remember_addresses(env, place, embedded)
    play_chargily(env, place, port)
    supervise(place, embedded)
    return 1 if place.failed.exists() else 0


def claim(place: Workplace) -> TextIO | None:
    """One supervisor per checkout. The lock goes with the process, so a kill -9 does not leave it behind."""
    lock = open(place.run / "lock", "w")  # noqa: SIM115 (held as long as the process lives)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return lock


def embedded_servers(env: Env, place: Workplace) -> list[EmbeddedPostgres | EmbeddedRedis]:
    """A server of our own for each address that nobody configured."""
    kept = read_env_file(place.embedded_env)
    servers: list[EmbeddedPostgres | EmbeddedRedis] = []
    if not env.text("POSTGRES_URL"):
        url = with_a_free_port(kept.get("POSTGRES_URL") or postgres.new_url())
        servers.append(EmbeddedPostgres(place.var / "postgres", url))
    if not env.text("REDIS_URL"):
        url = with_a_free_port(kept.get("REDIS_URL") or redis.new_url())
        servers.append(EmbeddedRedis(place.var / "redis", url))
    return servers


def remember_addresses(env: Env, place: Workplace, embedded: list[EmbeddedPostgres | EmbeddedRedis]) -> None:
    """Keep the embedded addresses (their passwords are in them), and hand all in use to the programs."""
    urls = {server.setting: server.url for server in embedded}
    write_private(place.embedded_env, read_env_file(place.embedded_env) | urls)
    os.environ |= urls | {"VAR_DIR": str(place.var)}
    for name in ("POSTGRES_URL", "REDIS_URL"):
        os.environ.setdefault(name, env.text(name))


def play_chargily(env: Env, place: Workplace, port: int) -> None:
    """Without a key in development: our own stand-in, and the addresses under which it and a browser find us."""
    if not chargily.wanted(env):
        place.standin_env.unlink(missing_ok=True)
        return
    kept = urlsplit(read_env_file(place.standin_env).get("CHARGILY_BASE_URL", ""))
    own_port = free_port(kept.port or 0)
    values = chargily.settings_of(place, own_port)
    write_private(place.standin_env, values)
    os.environ |= {**values, "CHARGILY_STANDIN_PORT": str(own_port)}
    for name in ("API_URL", "FRONTEND_URL"):
        os.environ.setdefault(name, f"http://localhost:{port}")


def supervise(place: Workplace, embedded: list[EmbeddedPostgres | EmbeddedRedis]) -> None:
    """Run everything until a signal comes; supervisord answers INT and TERM by the orderly stop."""
    stdout_that_opens()
    file = place.run / "supervisord.conf"
    file.write_text(configuration(place, embedded_programs(embedded) + our_programs(place)))
    supervisord.main(["--configuration", str(file)])


def with_a_free_port(url: str) -> str:
    """The same address where its port is free, else with another port (the password belongs to the data: it stays)."""
    parts = urlsplit(url)
    port = free_port(parts.port or 0)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_private(path: Path, values: dict[str, str]) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())


def stdout_that_opens() -> None:
    """supervisord opens /dev/fd/1 for each program, which a socket refuses: some CI systems give one as stdout."""
    if not stat.S_ISSOCK(os.fstat(1).st_mode):
        return
    # A session of its own, so that a Ctrl-C does not cut off the last words of the programs.
    copier = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=1, start_new_session=True)
    assert copier.stdin is not None
    os.dup2(copier.stdin.fileno(), 1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ImproperlyConfigured as error:
        sys.exit(f"{error} Correct it in the environment or in .env.local, and start again.")
