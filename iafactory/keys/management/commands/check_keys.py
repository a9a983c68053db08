from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from iafactory.keys import checking, results
from iafactory.keys.checking import Checked, Outcome, Verdict


class Command(BaseCommand):
    help = (
        "Ask each provider, and Chargily, whether it accepts each configured key, by a call that costs nothing. "
        "Never prints a key. Exit status 1 if a configured key fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--provider", action="append", help="only this one (may be repeated)", metavar="NAME")
        parser.add_argument("--dry-run", action="store_true", help="judge the shapes only; call nobody, keep nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        only = set(options["provider"] or ())
        wanted = [target for target in checking.targets() if not only or target.provider in only]
        known = {target.provider for target in checking.targets()} | {name for name, _, _ in checking.absent()}
        if unknown := only - known:
            raise CommandError(
                f"There is no provider {', '.join(sorted(unknown))}. There are: {', '.join(sorted(known))}."
            )
        if options["dry_run"]:
            found = [Checked(target, Verdict(Outcome.UNTRIED)) for target in wanted]
        else:
            found = self.ask_all(wanted)
            self.keep(found, all_keys=not only)
        order = [target.subject for target in wanted]
        self.say(sorted(found, key=lambda checked: order.index(checked.target.subject)), only)

    def ask_all(self, wanted: Sequence[checking.Target]) -> list[Checked]:
        """With a line for each as it comes; they take some seconds."""
        found = []
        for number, checked in enumerate(checking.check(wanted), 1):
            found.append(checked)
            target = checked.target
            self.stderr.write(
                f"{number}/{len(wanted)} {target.provider} no. {target.ordinal}: {checked.verdict.outcome}"
            )
        return found

    def keep(self, found: Sequence[Checked], *, all_keys: bool) -> None:
        try:
            results.keep(found, all_keys=all_keys)
        except DatabaseError:
            self.stderr.write("The results could not be kept for the dashboard: PostgreSQL does not answer.")

    def say(self, found: Sequence[Checked], only: set[str]) -> None:
        rows = [row(checked) for checked in found]
        missing = [item for item in checking.absent() if not only or item[0] in only]
        rows += [(name, variable, "-", Outcome.ABSENT, "") for name, variable, _console in missing]
        for line in table([("provider", "key", "well-formed", "result", "where to mend it"), *rows]):
            self.stdout.write(line)
        bad = sum(checked.verdict.outcome.bad for checked in found)
        self.stdout.write(f"Keys configured: {len(found)}; failing: {bad}; providers not configured: {len(missing)}.")
        if bad:
            raise CommandError("A configured key fails. docs/keys.md says how to replace each.")


def row(checked: Checked) -> tuple[str, ...]:
    target, verdict = checked.target, checked.verdict
    name = target.variable if target.of == 1 else f"{target.variable} no. {target.ordinal} of {target.of}"
    status = f" ({verdict.status})" if verdict.status not in (None, 200) else ""
    console = target.console if verdict.outcome.needs_console else ""
    return target.provider, name, "yes" if target.well_formed else "no", f"{verdict.outcome}{status}", console


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in rows]
