from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import reconciliation
from billing.errors import PaymentsNotConfigured
from billing.gateways import the_gateway


class Command(BaseCommand):
    help = "Ask Chargily about every pending payment now, whatever the task's back-off, and settle what it says."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say which would be asked after, and ask nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self._list()
            return
        try:
            the_gateway()
        except PaymentsNotConfigured as error:
            raise CommandError("Payments are not configured: set CHARGILY_SECRET_KEY.") from error
        report = reconciliation.reconcile_all()
        found = report.results
        self.stdout.write(
            f"Payments asked after: {report.asked}. Applied {found['applied']}, closed {found['closed']}, "
            f"mismatch {found['mismatch']}, still waiting {found['waiting']}, unchanged {found['unchanged']}, "
            f"failed {report.failures.total()}."
        )
        if report.failures:
            why = ", ".join(f"{code} x {number}" for code, number in sorted(report.failures.items()))
            left = f" Not asked after: {report.left}." if report.left else ""
            raise CommandError(f"Chargily could not be asked about all of them: {why}.{left} Try again in a moment.")

    def _list(self) -> None:
        payments = reconciliation.all_of_interest()
        for payment in payments:
            self.stdout.write(
                f"{payment.pk}  {payment.status:<9} {payment.tier_id:<10} {payment.amount_dzd:>6} DZD  "
                f"{payment.checkout_id or '(no checkout)'}  since {payment.created_at:%Y-%m-%d %H:%M}"
            )
        self.stdout.write(f"Payments that would be asked after: {len(payments)} (dry run).")
