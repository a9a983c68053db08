"""gunicorn's configuration: what the operator set reaches it, and a taken port is an error that says what to do."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from iafactory.run import BASE


def gunicorn(*arguments: str, file: Path | str = os.devnull, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PORT", "WEB_WORKERS", "APP_ENV")}
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config=iafactory/gunicorn.py", *arguments, "iafactory.wsgi"],
        cwd=BASE,
        env={**kept, "ENV_FILE": str(file), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def configured(file: Path | str = os.devnull, **environment: str) -> dict[str, str]:
    printed = gunicorn("--print-config", file=file, **environment).stdout
    return dict(re.findall(r"^(\w+) += (.*)$", printed, re.MULTILINE))


def in_file(folder: Path, *lines: str) -> Path:
    file = folder / "env"
    file.write_text("\n".join(lines))
    return file


def test_port_and_workers_are_read_from_the_env_file(tmp_path: Path) -> None:
    found = configured(in_file(tmp_path, "PORT=8499", "WEB_WORKERS=3"))
    assert "127.0.0.1:8499" in found["bind"]
    assert found["workers"] == "3"


def test_the_process_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    found = configured(in_file(tmp_path, "PORT=8499", "WEB_WORKERS=3"), PORT="8500", WEB_WORKERS="")
    assert "127.0.0.1:8500" in found["bind"]
    # An empty value is none.
    assert found["workers"] == "3"


def test_production_in_the_env_file_listens_to_the_network(tmp_path: Path) -> None:
    assert "0.0.0.0:8000" in configured(in_file(tmp_path, "APP_ENV=production"))["bind"]


@pytest.mark.parametrize(
    ("lines", "environment", "seconds"),
    [
        ((), {}, "10"),
        (("DB_STATEMENT_SECONDS=7",), {}, "7"),
        (("DB_STATEMENT_SECONDS=7",), {"DB_STATEMENT_SECONDS": ""}, "7"),
    ],
)
def test_the_sql_limit_of_the_env_file_reaches_the_workers(
    tmp_path: Path, lines: tuple[str, ...], environment: dict[str, str], seconds: str
) -> None:
    script = "import runpy, os; runpy.run_path('iafactory/gunicorn.py'); print(os.environ['DB_STATEMENT_SECONDS'])"
    kept = {name: value for name, value in os.environ.items() if name != "DB_STATEMENT_SECONDS"}
    printed = subprocess.check_output(
        [sys.executable, "-c", script],
        cwd=BASE,
        env={**kept, "ENV_FILE": str(in_file(tmp_path, *lines)), **environment},
        text=True,
        timeout=60,
    )
    assert printed.strip() == seconds


def test_a_wrong_port_is_named(tmp_path: Path) -> None:
    done = gunicorn("--print-config", file=in_file(tmp_path, "PORT=eighty"))
    assert done.returncode != 0
    assert "PORT must be a whole number" in done.stderr


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    """Also where the other program shares its port: a second copy must not get half of the requests."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = gunicorn(PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert f"PORT={port + 1}" in done.stderr
    assert "Traceback" not in done.stderr
