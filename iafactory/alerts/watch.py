"""The web workers' own eye on PostgreSQL and Redis: without Redis no task of Celery's runs, and nobody would tell."""

import logging
import threading

from django.db import Error as DatabaseError

from accounts.fresh import release_connection

from .delivery import deliver
from .rules import RULES

logger = logging.getLogger(__name__)

SECONDS = 60.0
_ended = threading.Event()


def start() -> None:
    """In the background: a thread, or a greenlet where gevent rules."""
    threading.Thread(target=watch, name="alerts-watch", daemon=True).start()


def watch() -> None:
    while not _ended.wait(SECONDS):
        look_at_servers()


def look_at_servers() -> None:
    try:
        deliver([rule for rule in RULES if rule.without_postgres])
    except (DatabaseError, OSError):
        logger.exception("Error: the servers cannot be watched; tried again in a minute")
    finally:
        release_connection()
