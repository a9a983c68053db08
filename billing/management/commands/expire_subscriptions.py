from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from billing import subscriptions


class Command(BaseCommand):
    help = "Put the subscriptions that have ended on `free`. (They are served as `free` from the minute they end.)"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say how many, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            number = subscriptions.ended(timezone.now())
            self.stdout.write(f"Subscriptions that have ended: {number} (dry run).")
            return
        self.stdout.write(f"Subscriptions that have ended: {subscriptions.expire()}, now on free.")
