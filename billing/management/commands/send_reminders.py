from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from billing import letters


class Command(BaseCommand):
    help = (
        "Write to those whose paid time ends in 7, 3 or 1 days, once each; what failed before is tried again when due."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say who would be written to, and write to nobody")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        owed = letters.reminders_owed(now)
        for one in owed:
            self.stdout.write(
                f"{one.kind}  user {one.user_id}  {one.tier} until {timezone.localtime(one.ends_at):%F %R}"
            )
        if options["dry_run"]:
            self.stdout.write(f"{len(owed)} to remind; none written to.")
            return
        letters.note_reminders(now)
        self.stdout.write(f"{letters.send_due()} mails sent.")
