"""`make run` with a setting that cannot be: one sentence that says what to do, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from iafactory.run import BASE

HIDDEN = {"POSTGRES_URL", "REDIS_URL", "ENV_FILE", "PORT"}


def start(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    return subprocess.run(
        [sys.executable, "-m", "iafactory.run"],
        cwd=BASE,
        env={**environment, "VAR_DIR": str(folder), "ENV_FILE": os.devnull, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("port", "sentence"),
    [
        ("abc", "PORT must be a whole number."),
        ("80.5", "PORT must be a whole number."),
        ("0", "PORT must be a number from 1 to 65535."),
        ("70000", "PORT must be a number from 1 to 65535."),
    ],
)
def test_a_port_that_cannot_be_is_a_sentence(port: str, sentence: str, tmp_path: Path) -> None:
    refused = start(tmp_path, PORT=port)
    assert refused.returncode == 1
    assert refused.stderr.startswith(sentence)
    assert ".env.local" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
