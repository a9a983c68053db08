"""gunicorn's configuration: a few gevent workers, each holding thousands of calls in flight."""

import gc
import os
import resource
from pathlib import Path
from typing import Any

worker_class = "iafactory.worker.Worker"
workers = int(os.environ.get("WEB_WORKERS") or 2)
worker_connections = 3000
backlog = 4096
# In development only this machine may come in: the demo account's password is on the screen.
everywhere = os.environ.get("APP_ENV") == "production"
bind = f"{'0.0.0.0' if everywhere else '127.0.0.1'}:{os.environ.get('PORT') or 8000}"  # noqa: S104
# After a kill -9 of the master the next one need not wait for its orphans to let go of the port.
reuse_port = True
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
os.environ.setdefault("DB_STATEMENT_SECONDS", "10")

# Two sockets for each call in flight, and the pools.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, _hard), _hard))


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
