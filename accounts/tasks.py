from celery import shared_task
from django.core.management import call_command


@shared_task
def flush_expired_tokens() -> None:
    """Refresh tokens that can no longer be used, and the blacklist's rows about them."""
    call_command("flushexpiredtokens")
