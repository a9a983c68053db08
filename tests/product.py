"""The running product for tests over HTTP: gunicorn with two workers and the drainer, as `make run` starts them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from iafactory.run import BASE
from iafactory.run.__main__ import free_port
from usage.clock import SECOND
from usage.process import this_process
from usage.redis import client

LOG = BASE / "var" / "test" / "product.log"


class Product:
    """One running product. `environment` is laid over the test's own."""

    WEB = ("-m", "gunicorn", "--config=iafactory/gunicorn.py", "iafactory.wsgi")

    def __init__(self, environment: dict[str, str], *, workers: int = 2, log: Path = LOG) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "PORT": str(self.port),
            # Where links lead, and where a browser is sent back to.
            "API_URL": self.url,
            "FRONTEND_URL": self.url,
            "WEB_WORKERS": str(workers),
            "SIGNUP_LIMIT": "10000/h",
            "LOGIN_LIMIT": "10000/m",
            **environment,
        }
        self.log = log.open("ab")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        self.launch("web", *self.WEB)
        self.launch("drainer", "manage.py", "drain_usage", "--skip-checks")
        self.wait_until_healthy()

    def launch(self, name: str, *command: str) -> None:
        self.processes[name] = subprocess.Popen(
            [sys.executable, *command],
            cwd=BASE,
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def wait_until_healthy(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, "the product did not come up; see var/test/product.log"
            time.sleep(0.1)

    def wait_until_open(self, seconds: float = 30) -> None:
        """Until its processes have found the counters as they are now."""
        deadline = time.monotonic() + seconds
        while client().hget("budget:redis", "state") != "open":
            assert time.monotonic() < deadline, "the paid route did not open; see var/test/product.log"
            time.sleep(0.05)

    def wait_until_drained(self, seconds: float = 10) -> None:
        """Until no row is on its way to the table, and no process keeps the receipt of one: it would hand it in again
        to the next test, whose counters and table are empty."""
        deadline = time.monotonic() + seconds
        while client().xlen("usage:stream"):
            assert time.monotonic() < deadline, "the drainer does not keep up; see var/test/product.log"
            time.sleep(0.05)
        if (client().get("usage:mark") or "0-0") == "0-0":
            return
        # Every process hears at its next tick how far the table is. (The test's own, which may have asked, has none.)
        whole_seconds, microseconds = client().time()
        drained_at = whole_seconds * SECOND + microseconds
        while set(client().zrangebyscore("budget:leases", "-inf", drained_at)) - {this_process().id}:
            assert time.monotonic() < deadline, "a process does not tick; see var/test/product.log"
            time.sleep(0.05)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=45)
        self.log.close()


class Customer:
    """Somebody with credentials who speaks to a product over HTTP."""

    def __init__(self, product: Product, token: str) -> None:
        self.product = product
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.product.url + path, timeout=60, **options)

    def get_anew(self, path: str, times: int = 20) -> list[requests.Response]:
        """Each over a connection of its own, so that every worker is asked: one that is kept alive stays with one."""
        return [self.get(path, headers={"Connection": "close"}) for _ in range(times)]

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.session.post(self.product.url + path, json=body, timeout=60, **options)

    def chat(self, prompt: str = "Bonjour", **body: Any) -> requests.Response:
        return self.post("/api/v2/chat", {"prompt": prompt, **body})
