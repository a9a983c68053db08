from celery import shared_task

from . import rollups


@shared_task
def fold_rollups() -> None:
    rollups.fold()
