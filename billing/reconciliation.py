"""Payments whose webhook never came: asked after with back-off until they are settled, and for 72 hours if closed."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from . import settlement
from .errors import GatewayError
from .models import PaymentTransaction
from .models.payments import WATCHED_FOR

logger = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(hours=6)
# Chargily's own client keeps to 60 calls a minute; a round of the task comes every 30 s and leaves room for customers.
A_ROUND = 20
# After so many failures in a row Chargily is away, or our key is bad: the others would fail as well.
PATIENCE = 3


@dataclass
class Report:
    """What a round did: how many of each result; and what went wrong, by code."""

    results: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    left: int = 0

    @property
    def asked(self) -> int:
        return self.results.total() + self.failures.total()


def reconcile_due() -> Report:
    """The task's round: those whose time has come."""
    return _reconcile(list(PaymentTransaction.objects.due(timezone.now())[:A_ROUND]))


def reconcile_all() -> Report:
    """The command's: all that are pending, whatever their back-off, and the closed ones that are due."""
    return _reconcile(all_of_interest())


def all_of_interest() -> list[PaymentTransaction]:
    due = Q(pk__in=PaymentTransaction.objects.due(timezone.now()).values("pk"))
    pending = Q(status=PaymentTransaction.Status.PENDING)
    return list(PaymentTransaction.objects.filter(pending | due).order_by("created_at", "id"))


def next_check(payment: PaymentTransaction, now: datetime) -> datetime | None:
    """1, 2, 4 … minutes, at most 6 hours apart; no more once a closed one has been watched for long enough."""
    pause = min(timedelta(minutes=2 ** min(payment.checks, 10)), LONGEST_PAUSE)
    over = now - payment.created_at > WATCHED_FOR
    return None if over and payment.status != PaymentTransaction.Status.PENDING else now + pause


def _reconcile(payments: list[PaymentTransaction]) -> Report:
    report = Report()
    in_a_row = 0
    for number, payment in enumerate(payments):
        # Two rounds at once (the task and the command): one of them asks.
        if not PaymentTransaction.objects.claim_check(payment, next_check_at=next_check(payment, timezone.now())):
            continue
        try:
            report.results[settlement.settle(payment)] += 1
            in_a_row = 0
        except GatewayError as error:
            report.failures[error.code] += 1
            in_a_row += 1
            logger.warning("Error: payment %s could not be asked after: %s", payment.pk, error.code)
        except Exception:
            # One payment that cannot be applied must not keep the others from it; the traceback is for staff.
            report.failures["error"] += 1
            logger.exception("Error: payment %s could not be settled", payment.pk)
        if in_a_row >= PATIENCE:
            report.left = len(payments) - number - 1
            break
    return report
