import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.money import dollars
from usage import budget
from usage.errors import NotNow


class Command(BaseCommand):
    help = "Begin today's budget counter again at zero. Leaves a row that says who, when, and what the ledger said."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would happen, and change nothing")
        parser.add_argument("--by", default=getpass.getuser(), help="who does it (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            before = budget.counters()
            if options["dry_run"]:
                self.stdout.write(f"Budget of {before.day}: {dollars(before.spent):.6f} USD would become 0 (dry run).")
                return
            reset = budget.reset(by=options["by"])
            after = budget.counters()
        except NotNow as error:
            raise CommandError("Redis cannot be reached, or is being made whole. Try again in a moment.") from error
        spent = "unknown" if reset.before_usd is None else f"{reset.before_usd:.6f} USD"
        self.stdout.write(
            f"Budget of {reset.day}: {spent} before, {dollars(after.spent):.6f} USD after; "
            f"the ledger says {reset.ledger_usd:.6f} USD. Recorded for {reset.by}."
        )
