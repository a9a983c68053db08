"""The web server stops and restarts under load: no request is lost, cut, or answered 500."""

import signal
import socket
from collections.abc import Iterator

import psutil
import pytest

from benchmarks import rig
from billing.models import Tier
from conftest import address_of_the_test_database, key_of, person
from tests.concurrency import eventually
from tests.keep_alive import Callers
from tests.product import Product
from usage.models import UsageLog

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

CONNECTIONS = 150


@pytest.fixture(scope="module")
def running_product(django_db_setup: None) -> Iterator[Product]:
    """In place of the one of conftest.py: before a provider that holds 150 calls at once."""
    with rig.upstream() as provider:
        provider.set(delay=0.1, first=0.05, pace=0.02, chunks=10)
        product = Product(
            {
                "POSTGRES_URL": address_of_the_test_database(),
                "OPENROUTER_API_KEY": "sk-or-v1-test",
                "OPENROUTER_BASE_URL": provider.url("openrouter"),
                "DAILY_BUDGET_USD": "5000",
                "USAGE_TICK_SECONDS": "0.1",
            }
        )
        yield product
        product.stop()


@pytest.fixture
def keys(product: Product) -> list[str]:
    Tier.objects.filter(name="enterprise").update(requests_per_minute=1_000_000, messages_per_day=1_000_000)
    return [key_of(person(f"user{number}@example.dz", "enterprise")) for number in range(10)]


def workers_of(product: Product) -> list[psutil.Process]:
    return psutil.Process(product.processes["web"].pid).children()


def wait_until_replaced(product: Product, old: list[psutil.Process]) -> None:
    eventually(lambda: not any(worker.is_running() for worker in old), 60)
    eventually(lambda: len(workers_of(product)) == 2, 60)


def assert_nothing_was_lost(product: Product, callers: Callers) -> None:
    served = callers.answers.pop("200")
    assert callers.answers == {}
    assert served > CONNECTIONS
    product.wait_until_drained()
    # Each call has one row with its exact cost: none was charged its whole hold.
    assert UsageLog.objects.filter(estimated=False, error_flag=False).count() == served
    assert UsageLog.objects.count() == served


def test_a_rolling_restart_loses_no_request(product: Product, keys: list[str]) -> None:
    with Callers(product.port, keys, number=CONNECTIONS) as callers:
        callers.wait_until_all_are_served()
        for _ in range(2):
            old = workers_of(product)
            product.signal("web", signal.SIGHUP)
            wait_until_replaced(product, old)
    assert callers.told_to_close >= CONNECTIONS
    assert_nothing_was_lost(product, callers)


def test_sigterm_to_one_worker_loses_no_request(product: Product, keys: list[str]) -> None:
    with Callers(product.port, keys, number=CONNECTIONS) as callers:
        callers.wait_until_all_are_served()
        old = workers_of(product)[:1]
        old[0].send_signal(signal.SIGTERM)
        wait_until_replaced(product, old)
    assert_nothing_was_lost(product, callers)


def test_a_stop_answers_what_it_has_accepted(product: Product, keys: list[str]) -> None:
    with Callers(product.port, keys, number=CONNECTIONS) as callers:
        callers.wait_until_all_are_served()
        product.signal("web", signal.SIGTERM)
        product.processes["web"].wait(45)
    product.launch("web", *Product.WEB)
    product.wait_until_healthy()
    # A refused connection is an honest answer of a server that is gone.
    assert callers.answers.pop("refused") > 0
    assert_nothing_was_lost(product, callers)


def test_workers_whose_master_was_killed_finish_what_they_serve(product: Product, keys: list[str]) -> None:
    with Callers(product.port, keys, number=CONNECTIONS) as callers:
        callers.wait_until_all_are_served()
        old = workers_of(product)
        product.signal("web", signal.SIGKILL)
        product.processes["web"].wait(10)
        # It waits for its predecessor's workers to leave the port.
        product.launch("web", *Product.WEB)
        wait_until_replaced(product, old)
        product.wait_until_healthy()
    callers.answers.pop("refused", 0)
    assert_nothing_was_lost(product, callers)


def test_an_idle_connection_may_send_its_next_request_while_the_worker_stops(product: Product) -> None:
    [worker] = workers_of(product)[:1]
    idle = [socket.create_connection(("127.0.0.1", product.port), timeout=30) for _ in range(40)]
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for connection in idle:
        connection.sendall(request)
        assert b"Connection: keep-alive" in connection.recv(65536)
    belonging = {found.raddr.port for found in worker.net_connections("tcp") if found.raddr}
    theirs = [connection for connection in idle if connection.getsockname()[1] in belonging]
    assert theirs
    worker.send_signal(signal.SIGTERM)
    served, silent = theirs[::2], theirs[1::2]
    for connection in served:
        connection.sendall(request)
    for connection in served:
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Connection: close" in answer
    # Connections that stay idle end without a reset, and do not hold the worker until the end of its grace.
    for connection in silent:
        assert connection.recv(65536) == b""
    wait_until_replaced(product, [worker])
    for connection in idle:
        connection.close()
