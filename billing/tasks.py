import logging

from celery import shared_task
from django.utils import timezone

from . import letters, reconciliation, subscriptions
from .errors import PaymentsNotConfigured
from .gateways import the_gateway

logger = logging.getLogger(__name__)


@shared_task
def reconcile_payments() -> None:
    """Settle what is pending and due: webhooks do get lost."""
    try:
        the_gateway()
        report = reconciliation.reconcile_due()
    except PaymentsNotConfigured:
        # There is no gateway to ask, and where it was never configured there is nothing to ask about.
        return
    if report.asked:
        logger.info("Payments asked after: %s; failures: %s", dict(report.results), dict(report.failures))


@shared_task
def expire_subscriptions() -> None:
    if swept := subscriptions.expire():
        logger.info("Subscriptions that ended: %d", swept)


@shared_task
def send_letters() -> None:
    """Note which mails are owed, send those that are due."""
    now = timezone.now()
    letters.note_receipts(now)
    letters.note_reminders(now)
    letters.note_mismatches(now)
    letters.note_returned(now)
    if sent := letters.send_due():
        logger.info("Mails sent: %d", sent)
