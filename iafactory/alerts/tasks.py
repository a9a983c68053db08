from celery import shared_task

from .delivery import deliver


@shared_task
def deliver_alerts() -> None:
    """Every 15 minutes. While Redis is away Celery does not run: then the web workers tell (`watch`)."""
    deliver()
