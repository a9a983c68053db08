"""A web worker that waits for PostgreSQL serves others meanwhile."""

import subprocess
import sys

from iafactory.run import BASE

# What gunicorn does in a worker: it imports the worker's class, lets gevent patch, and loads the application.
PROGRAM = """
import iafactory.worker
from gevent import monkey
monkey.patch_all()
import iafactory.wsgi
import psycopg.waiting
from celery import current_app
print(psycopg.waiting.wait.__name__, current_app.main)
"""


def test_psycopg_waits_in_gevents_way_and_celery_has_its_application() -> None:
    """psycopg decides at its import. Imported while gevent patches, it would stop the whole worker for each answer."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=BASE, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["wait_poll", "iafactory"], done.stderr[-2000:]
