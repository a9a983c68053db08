from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from iafactory.keys import sources
from iafactory.keys.scanning import Finding, scan
from iafactory.keys.sources import NoRepository, Source

# Progress is told from this many on, and every so many.
MANY = 2000


class Command(BaseCommand):
    help = (
        "Find keys of providers, and other secrets of ours, in a folder, in what is staged, or in a git history. "
        "Shows where they are, never what they are. Exit status 1 on a find."
    )
    # A pre-commit hook waits for nothing else.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", nargs="?", default=".", help="folder or file (default: %(default)s)")
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--history", action="store_true", help="every commit of the repository at PATH, messages too"
        )
        which.add_argument("--staged", action="store_true", help="only what the next commit would change")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["path"])
        if not path.exists():
            raise CommandError(f"There is no {path}.")
        try:
            found, number = self.scan(path, history=options["history"], staged=options["staged"])
        except NoRepository as error:
            raise CommandError(str(error)) from error
        for finding in found:
            self.stdout.write(str(finding))
        self.stdout.write(f"Secrets found: {len(found)}; texts scanned: {number}.")
        if found:
            raise CommandError(
                "Revoke each (docs/keys.md says how), then remove it. For a test value that is no secret: mark its "
                "line with “scan_secrets: allow”, or add its fingerprint to .scan-secrets-allow with the reason."
            )

    def scan(self, path: Path, *, history: bool, staged: bool) -> tuple[list[Finding], int]:
        allowed = frozenset(sources.allowed_in(path))
        found: dict[tuple[str, str], Finding] = {}
        number = 0
        for source in self.told(texts(path, history=history, staged=staged)):
            number += 1
            for finding in scan(source.text, source.path, allowed=allowed):
                # History has the same secret in every version of its file: once is enough.
                key = (finding.fingerprint, finding.path if history else f"{finding.path}:{finding.line}")
                if key not in found:
                    found[key] = located(path, source, finding) if history else finding
        return list(found.values()), number

    def told(self, texts: Iterable[Source]) -> Iterator[Source]:
        for number, source in enumerate(texts, 1):
            if number % MANY == 0:
                self.stderr.write(f"{number} texts so far, at {source.path}")
            yield source


def texts(path: Path, *, history: bool, staged: bool) -> Iterator[Source]:
    if staged:
        return sources.staged(path)
    return all_of_history(path) if history else sources.of_folder(path)


def all_of_history(path: Path) -> Iterator[Source]:
    yield from sources.contents(path, sources.history(path))
    yield from sources.messages(path)


def located(path: Path, source: Source, finding: Finding) -> Finding:
    return replace(finding, commit=sources.commit_of(path, source.blob)) if source.blob else finding
