from celery import shared_task

from .results import check_all


@shared_task
def check_provider_keys() -> None:
    """Every night: a key that was revoked is known before somebody needs it."""
    check_all()
