import logging

from celery import shared_task
from django.db import DatabaseError

from iafactory.keys.results import check_bad_again

from .delivery import deliver

logger = logging.getLogger(__name__)


@shared_task
def deliver_alerts() -> None:
    """Every 15 minutes. While Redis is away Celery does not run: then the web workers tell (`watch`)."""
    try:
        check_bad_again()
    except DatabaseError:
        logger.warning("Error: bad keys cannot be checked again: PostgreSQL is away")
    deliver()
