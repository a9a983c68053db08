import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from billing.models import Tier

SOURCE = Path(__file__).parents[2] / "tiers.toml"


class Command(BaseCommand):
    help = "Add the tiers of billing/tiers.toml that are missing; with --reset, put those that exist back to the file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reset", action="store_true", help="also overwrite what staff changed")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        write = Tier.objects.update_or_create if options["reset"] else Tier.objects.get_or_create
        added = 0
        for name, columns in tomllib.loads(SOURCE.read_text()).items():
            budget = columns.get("user_daily_budget_usd")
            columns["user_daily_budget_usd"] = None if budget is None else Decimal(budget)
            added += write(name=name, defaults=columns)[1]
        kept = Tier.objects.count() - added
        self.stdout.write(f"Tiers: {added} added, {kept} {'reset' if options['reset'] else 'left as they are'}.")
