"""The probes under gevent, as the web workers run them."""

import os
import subprocess
import sys

from django.conf import settings
from django.db import connection

from accounts.fresh import ANSWER_SECONDS
from accounts.key_uses import NOTE_SECONDS
from iafactory.probes import PROBE_SECONDS
from usage.budget import RECOUNT_SECONDS
from usage.process import RECOVERY_SECONDS, REGISTER_SECONDS

PROBES = """
import gevent.monkey
gevent.monkey.patch_all()
import django
django.setup()
import gevent
from django.db import connection
from iafactory.probes import postgres_answers

probes = [gevent.spawn(postgres_answers) for _ in range(12)]
gevent.joinall(probes)
assert not any(probe.value for probe in probes)
# To one who was interrupted in the line, and does not know it, the pool would give a connection for good.
print(sum(waiting.error is None for waiting in connection.pool._waiting))
"""


def test_probes_of_an_absent_postgresql_leave_nobody_in_the_line() -> None:
    environment = {**os.environ, "POSTGRES_URL": "postgresql://iaf@127.0.0.1:1/iaf"}
    command = [sys.executable, "-c", PROBES]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60, cwd=settings.BASE_DIR, env=environment
    )
    assert done.stdout.split() == ["0"]


def test_every_limit_to_a_question_outlasts_the_pools_own() -> None:
    own = connection.settings_dict["OPTIONS"]["pool"]["timeout"]
    limits = (PROBE_SECONDS, ANSWER_SECONDS, NOTE_SECONDS, REGISTER_SECONDS, RECOUNT_SECONDS, RECOVERY_SECONDS)
    # With time to spare on a busy machine.
    assert own + 0.5 <= min(limits)
