from celery import shared_task

from accounts.sign_ups import forget_old_addresses

from . import farming, rollups


@shared_task
def fold_rollups() -> None:
    rollups.fold()


@shared_task
def score_sign_ups() -> None:
    """Look again at the accounts of the last days, and forget the network addresses of the old ones."""
    farming.score_sign_ups()
    forget_old_addresses()
