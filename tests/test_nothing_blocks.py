"""Nothing holds up a worker's one thread: who streams does not notice who logs in, asks for the schema or the lists.

gevent's own monitor watches the loop from another thread and says what was running when it stood still.
"""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from conftest import address_of_the_test_database, key_of, person, provider_settings
from iafactory.run import BASE
from iafactory.settings import PASSWORD_HASHERS
from tests.concurrency import at_once
from tests.product import Customer, Product
from tests.standins.provider import ProviderStandIn

pytestmark = pytest.mark.live

STREAMS, LOGINS = 50, 20
LOG = BASE / "var" / "test" / "blocking.log"
PASSWORD = "correct horse battery"
# What a hash, a schema and their like look like in the monitor's report.
HEAVY = re.compile(r"argon2|hashers\.py|drf_spectacular|segno|yaml")


@pytest.fixture(scope="module")
def watched(django_db_setup: None, standin_server: ProviderStandIn) -> Iterator[Product]:
    """One worker, so that everybody shares its thread, with the monitor on."""
    LOG.unlink(missing_ok=True)
    environment = {
        "POSTGRES_URL": address_of_the_test_database(),
        **provider_settings(standin_server),
        "GEVENT_MONITOR_THREAD_ENABLE": "true",
        "GEVENT_MAX_BLOCKING_TIME": "0.03",
    }
    product = Product(environment, workers=1, log=LOG)
    yield product
    product.stop()


class Streams:
    """Customers who read their answers as they come, and note how long they waited for each piece."""

    def __init__(self, product: Product, callers: list[Customer]) -> None:
        self.gaps: list[float] = []
        self._going = True
        self._threads = [threading.Thread(target=self._read, args=(product, caller)) for caller in callers]
        for thread in self._threads:
            thread.start()

    def _read(self, product: Product, caller: Customer) -> None:
        while self._going:
            body = {"prompt": "Bonjour", "model": "gpt-4o", "stream": True}
            with caller.session.post(f"{product.url}/api/v2/chat", json=body, stream=True, timeout=60) as answer:
                last: float | None = None
                for _line in answer.iter_lines():
                    now = time.monotonic()
                    if last is not None:
                        self.gaps.append(now - last)
                    last = now

    def gaps_of(self, seconds: float) -> list[float]:
        before = len(self.gaps)
        time.sleep(seconds)
        return sorted(self.gaps[before:])

    def stop(self) -> None:
        self._going = False
        for thread in self._threads:
            thread.join(timeout=60)


def log_in(product: Product) -> int:
    body = {"email": "sara@example.dz", "password": PASSWORD}
    return requests.post(f"{product.url}/api/auth/login", json=body, timeout=60).status_code


def stacks() -> list[str]:
    """What the monitor said: what was running each time that the loop stood still for 30 ms. Its reports may run into
    one another, and go on to list everything that waits: only the indented lines of a stack are taken."""
    return re.findall(r"Blocked Stack[^\n]*\n((?:  [^\n]*\n)*)", LOG.read_text(errors="replace"))


def test_twenty_logins_beside_fifty_streams(
    watched: Product, transactional_db: None, standin_server: ProviderStandIn, settings: Any
) -> None:
    from django.core.management import call_command

    standin_server.reset()
    call_command("load_tiers", verbosity=0)
    call_command("load_models", verbosity=0)
    watched.wait_until_open()
    standin_server["openrouter"].pace = 0.05
    standin_server["openrouter"].words = ["mot "] * 40
    settings.PASSWORD_HASHERS = PASSWORD_HASHERS
    person("sara@example.dz")
    callers = [Customer(watched, key_of(person(f"user{n}@example.dz", "enterprise"))) for n in range(STREAMS)]
    streams = Streams(watched, callers)
    try:
        time.sleep(2)
        quiet = streams.gaps_of(4)
        began = time.monotonic()
        statuses, _raised = at_once(4, lambda: [log_in(watched) for _ in range(LOGINS // 4)])
        took = time.monotonic() - began
        busy = sorted(streams.gaps[-int(len(quiet) * max(0.2, took / 4)) :])
        requests.get(f"{watched.url}/api/schema", timeout=60)
        requests.get(f"{watched.url}/api/schema?format=json", timeout=60)
    finally:
        streams.stop()
        watched.wait_until_drained()
    assert statuses == [[200] * (LOGINS // 4)] * 4
    # Twenty hashes of some 20 ms each in the loop would show in every stream's longest gaps; the machine is noisy.
    median = [gaps[len(gaps) // 2] for gaps in (quiet, busy)]
    assert median[1] < 3 * median[0] + 0.05
    assert [stack for stack in stacks() if HEAVY.search(stack)] == []
