import signal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.standin import ChargilyStandIn, Faults
from billing.standin.server import set_faults


class Command(BaseCommand):
    help = (
        "Play Chargily on this machine: the API, the page where one pays, and the webhooks. For development. "
        "Faults can be switched while it runs: curl -d copies=2 http://127.0.0.1:PORT/faults"
    )
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: any)")
        parser.add_argument("--file", type=Path, help="keep the checkouts there over a restart")
        parser.add_argument("--key", default="", help="the secret key (default: CHARGILY_SECRET_KEY)")
        parser.add_argument(
            "--fault", action="append", default=[], metavar="NAME=VALUE", help="e.g. dropped=1 copies=2 api=500"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("The stand-in takes no money: it does not run in production.")
        key = options["key"] or settings.CHARGILY_SECRET_KEY
        if not key:
            raise CommandError("Give it a key: --key test_sk_… or CHARGILY_SECRET_KEY.")
        try:
            faults = set_faults(Faults(), dict(fault.split("=", 1) for fault in options["fault"]))
        except ValueError as error:
            raise CommandError(str(error)) from error
        ending = {signal.SIGINT, signal.SIGTERM}
        # Blocked in every thread, so that the one that waits for them gets them.
        signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        standin = ChargilyStandIn(key, port=options["port"], file=options["file"])
        standin.books.faults = faults
        standin.start()
        self.stdout.write(f"Chargily is played at {standin.base_url}")
        self.stdout.flush()
        signal.sigwait(ending)
        standin.close()
