import logging
import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection

from usage.drainer import drain
from usage.errors import NotNow
from usage.process import this_process

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25
TROUBLE_SECONDS = 1.0


class Command(BaseCommand):
    help = "Move usage rows from Redis to the table, for as long as it runs (a process of its own; one at a time)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="move what is there now, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            self.stdout.write(f"Moved {drain_all()} rows.")
            return
        leaving = threading.Event()

        def leave(signum: int, frame: FrameType | None) -> None:
            leaving.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, leave)
        # It shows life like the gateways do, and settles what dead ones left even when no other process lives.
        this_process()
        while not leaving.is_set():
            try:
                moved = drain()
            except (NotNow, DatabaseError) as error:
                logger.warning("Error: usage rows wait in Redis (%s)", type(error).__name__)
                connection.close()
                leaving.wait(TROUBLE_SECONDS)
                continue
            if not moved:
                leaving.wait(PAUSE_SECONDS)
        try:
            drain_all()
        except (NotNow, DatabaseError):
            logger.warning("Error: usage rows stay in Redis until the next start", exc_info=True)
        this_process().leave()


def drain_all() -> int:
    """Everything that is there now."""
    total = 0
    while moved := drain():
        total += moved
    return total
