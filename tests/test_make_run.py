"""`make run` as a newcomer and as an accident have it: the banner's curl line, whatever dies, the orderly end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests

from iafactory.env import read_env_file
from iafactory.run import BASE
from iafactory.run.__main__ import free_port
from iafactory.run.leftovers import parent_of, processes_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

PROGRAMS = ("web", "drainer", "worker", "beat", "chargily", "redis", "postgres")


class Running:
    """A `make run` of the test's own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.var = folder / "var"
        self.port = free_port()
        self.output = folder / "output"
        hidden = {"POSTGRES_URL", "REDIS_URL", "ENV_FILE"}
        self.environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self.environment |= {"VAR_DIR": str(self.var), "PORT": str(self.port), "ENV_FILE": os.devnull}
        self.start()

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "iafactory.run"],
                cwd=BASE,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wait_for(lambda: "Ctrl-C" in self.text)

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, check: Any, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, self.text
            assert self.supervisor.poll() is None, self.text
            time.sleep(0.1)

    def healthy(self) -> bool:
        try:
            return requests.get(f"http://localhost:{self.port}/health", timeout=3).status_code == 200
        except requests.RequestException:
            return False

    def main_process(self, program: str) -> psutil.Process:
        """The one that the supervisor started."""
        return self.main_processes(program)[0]

    def main_processes(self, program: str) -> list[psutil.Process]:
        return [p for p in processes_of(self.var, program) if parent_of(p) == self.supervisor.pid]

    def chat(self) -> Any:
        """The banner's curl line, pasted."""
        found = re.search(r"^  (curl .*?\\\n.*?)$", self.text, re.MULTILINE)
        assert found, self.text
        answer = subprocess.run(found[1], shell=True, capture_output=True, text=True, check=True)
        return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("run"))
    yield running
    if running.supervisor.poll() is None:
        running.supervisor.send_signal(signal.SIGINT)
        running.supervisor.wait(60)


def test_the_curl_line_works_when_pasted(running: Running) -> None:
    answer = running.chat()
    assert answer["provider"] == "demo"
    assert "démonstration" in answer["response"]


def test_a_tier_can_be_bought_without_a_key_of_chargily(running: Running) -> None:
    assert "payments  played here" in running.text
    buy(running, "new@example.dz")


def buy(running: Running, email: str) -> None:
    """Sign up, open the checkout, press Pay, and come back: over HTTP, as a browser would."""
    address = f"http://localhost:{running.port}"
    credentials = {"email": email, "password": "correct horse battery"}
    token = requests.post(f"{address}/api/auth/register", json=credentials, timeout=30).json()["access_token"]
    caller = {"Authorization": f"Bearer {token}"}
    checkout = requests.post(f"{address}/payment/subscribe/student", headers=caller, timeout=30).json()
    page = requests.get(checkout["checkout_url"], timeout=30)
    assert "1590" in page.text
    back = requests.post(checkout["checkout_url"], data={"action": "pay"}, allow_redirects=False, timeout=30)
    assert back.headers["Location"] == f"{address}/payment/success?checkout_id={checkout['checkout_id']}"

    def active() -> bool:
        found = requests.get(f"{address}/payment/subscription/status", headers=caller, timeout=30).json()
        return (found["tier"], found["days_remaining"]) == ("student", 30)

    # The webhook is on its way.
    running.wait_for(active, 20)


def test_the_servers_can_be_looked_into(running: Running) -> None:
    file = running.var / "services.env"
    assert file.stat().st_mode & 0o777 == 0o600
    urls = read_env_file(file)
    with psycopg.connect(urls["POSTGRES_URL"]) as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("Africa/Algiers",)
    redis_cli = Path(sys.executable).with_name("redis-cli")
    command = [str(redis_cli), "--no-auth-warning", "-u", urls["REDIS_URL"], "GET", "budget:today:usd"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("0.")


def test_a_second_one_is_refused(running: Running) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "iafactory.run"],
        cwd=BASE,
        env=running.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert "already running" in second.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_whatever_dies_is_started_again(running: Running, program: str) -> None:
    before = running.main_process(program)
    before.send_signal(signal.SIGKILL)
    before.wait(10)
    running.wait_for(lambda: running.main_processes(program), 10)
    running.wait_for(running.healthy, 30)


def test_it_serves_after_all_that(running: Running) -> None:
    running.wait_for(running.healthy)
    running.wait_for(lambda: "response" in running.chat(), 40)


def test_after_a_kill_of_the_supervisor_the_next_start_cleans_up(running: Running) -> None:
    running.supervisor.send_signal(signal.SIGKILL)
    running.supervisor.wait(10)
    orphans = [process for program in PROGRAMS for process in processes_of(running.var, program)]
    assert orphans
    running.start()
    assert not [process for process in orphans if process.is_running()]
    assert "Stopped the postgres that an earlier, killed run had left." in running.text
    running.wait_for(running.healthy)


def test_ctrl_c_stops_all_in_order_and_loses_nothing(running: Running) -> None:
    running.wait_for(lambda: "response" in running.chat(), 40)
    request_id = running.chat()["id"]
    running.supervisor.send_signal(signal.SIGINT)
    assert running.supervisor.wait(60) == 0
    assert not [process for program in PROGRAMS for process in processes_of(running.var, program)]
    log = (running.var / "log" / "supervisor.log").read_text()
    stopped = re.findall(r"stopped: (\w+)", log)
    assert stopped == ["web", "drainer", "beat", "worker", "chargily", "redis", "postgres"]
    running.start()
    with psycopg.connect(read_env_file(running.var / "services.env")["POSTGRES_URL"]) as connection:
        found = connection.execute("SELECT count(*) FROM llm_usage_logs WHERE request_id = %s", [request_id])
        assert found.fetchone() == (1,)
