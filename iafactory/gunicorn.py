"""gunicorn's configuration: a few gevent workers, each holding thousands of calls in flight."""

import errno
import gc
import os
import resource
import socket
import time
from pathlib import Path
from typing import Any

from iafactory.env import Env, env_file, read_environment

# The process environment over `.env.local`, as the settings read it: PORT in the file counts too.
env = Env(read_environment(env_file()))

# So long a start waits for a taken port: workers of a master that was killed need up to 2 s to leave it.
PORT_SECONDS = 5

worker_class = "iafactory.worker.Worker"
workers = env.integer("WEB_WORKERS", 2)
worker_connections = 3000
backlog = 4096
# In development only this machine may come in: the demo account's password is on the screen.
everywhere = env.choice("APP_ENV", "development", "production") == "production"
bind = f"{'0.0.0.0' if everywhere else '127.0.0.1'}:{env.integer('PORT', 8000)}"  # noqa: S104
# A worker that does not come back to its loop for this long is killed; calls in flight may last longer.
timeout = 60
graceful_timeout = 30
keepalive = 75
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
accesslog = None
errorlog = "-"
loglevel = "warning"
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# A web worker answers people: no question of its takes longer. (Migrations and roll-ups may.)
os.environ["DB_STATEMENT_SECONDS"] = env.text("DB_STATEMENT_SECONDS", "10")

# Two sockets for each call in flight, and the pools.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, _hard), _hard))


def on_starting(server: Any) -> None:
    """Refuse a port on which another program listens. gunicorn's own message does not say what to do."""
    if {"LISTEN_FDS", "GUNICORN_FD"} & os.environ.keys():
        # systemd, or the master that this one replaces (SIGUSR2), hands the listening socket over.
        return
    until = time.monotonic() + PORT_SECONDS
    for address in server.cfg.address:
        while isinstance(address, tuple) and not is_free(*address):
            if time.monotonic() > until:
                raise SystemExit(
                    f"Port {address[1]} is taken: another program, or another copy of this one, listens on "
                    f"{address[0]}:{address[1]}. Stop it, or choose another port: PORT={address[1] + 1}."
                )
            time.sleep(0.1)


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise SystemExit(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
    return True


def post_worker_init(worker: Any) -> None:
    from django.urls import get_resolver

    from iafactory.alerts import watch

    # All views and what they import: the first to come would wait for it, and everybody beside him.
    assert get_resolver().url_patterns
    watch.start()
    # What is there now stays. The collector looks at what calls leave behind, and less often: nothing of theirs is a
    # circle, and with thousands in flight each look costs.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def worker_exit(server: Any, worker: Any) -> None:
    """A worker that ends in order leaves nothing in its name."""
    from usage.process import this_process

    this_process().leave()
