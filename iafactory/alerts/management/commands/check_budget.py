from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation

from billing.money import dollars
from iafactory.alerts import rules
from iafactory.alerts.delivery import deliver
from usage import budget
from usage.errors import NotNow
from usage.process import this_process


class Command(BaseCommand):
    help = "Say where today's budget stands, and send every alert that is due: each once per level and day. For cron."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what stands, and send nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with translation.override(settings.ALERT_LANGUAGE):
                self.say_budget()
                if options["dry_run"]:
                    self.say_alerts(rules.standing())
                    self.stdout.write("Nothing was sent (dry run).")
                    return
                delivered = deliver()
                self.say_alerts(delivered.alerts)
        finally:
            this_process().leave()
        self.stdout.write(f"{delivered.sent} messages sent, {delivered.failed} could not be sent.")
        if delivered.failed:
            raise CommandError("Some alerts could not be sent; they are tried again at the next run.")

    def say_budget(self) -> None:
        try:
            now = budget.counters()
        except NotNow:
            self.stdout.write("Budget: unknown (Redis cannot be reached, or is being made whole).")
            return
        percent = budget.percent_used(now.spent)
        self.stdout.write(
            f"Budget of {now.day}: {rules.budget_level(percent)}, {percent}% "
            f"({dollars(now.spent):.6f} of {settings.DAILY_BUDGET_USD} USD spent, {dollars(now.held):.6f} held)."
        )

    def say_alerts(self, alerts: Any) -> None:
        for alert in alerts:
            self.stdout.write(f"{alert.level}: {alert.message} → {alert.action}")
        if not alerts:
            self.stdout.write("No alerts.")
