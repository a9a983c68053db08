from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from usage import rollups


class Command(BaseCommand):
    help = (
        "Recount the sums per hour and day from the usage table, and put right those that are wrong. They are kept "
        "exact by the database itself; this is for after a restore, or to be sure."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what is wrong, and change nothing")
        parser.add_argument(
            "--since", type=date.fromisoformat, default=date.min, help="only from this day (YYYY-MM-DD)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = [day for day in rollups.days_there_are() if day >= options["since"]]
        if not days:
            self.stdout.write("There is no usage to add up.")
            return
        found: dict[date, int] = {}
        for number, day in enumerate(days, 1):
            if wrong := self._rebuild(day, dry_run=options["dry_run"]):
                found[day] = wrong
            if wrong or number % 10 == 0 or number == len(days):
                self.stdout.write(f"{day} ({number} of {len(days)}): {_many(wrong, 'sum')} wrong")
        self.stdout.write(self._result(days, found, dry_run=options["dry_run"]))

    def _rebuild(self, day: date, *, dry_run: bool) -> int:
        try:
            return rollups.rebuild(day, dry_run=dry_run)
        except OperationalError as error:
            raise CommandError(
                f"{day}: PostgreSQL did not let the usage table be counted ({type(error).__name__}); days before it "
                "are done. An open transaction that has written to it? Try again when it has ended."
            ) from error

    def _result(self, days: list[date], found: dict[date, int], *, dry_run: bool) -> str:
        if not found:
            return f"All sums of {_many(len(days), 'day')} are right."
        what = f"{_many(len(found), 'day')}, {_many(sum(found.values()), 'sum')}"
        return f"{what} would be put right (dry run)." if dry_run else f"Put right: {what}."


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
