"""A lane: a copy of the tree with servers of its own, in which one mutant at a time is tried."""

import os
import shutil
import subprocess
from pathlib import Path

from iafactory.run import BASE
from tests import servers

# Made by the Makefile: mutmut, and the product's own libraries.
PYTHON = BASE / "var" / "mutants" / "venv" / "bin" / "python"
COPIED = ("accounts", "billing", "iafactory", "llmrouter", "usage", "tests", "templates", "locale", "docs")
FILES = ("conftest.py", "manage.py", "pytest.ini", "pyproject.toml", "README.md", ".env.example", "Makefile")


class Lane:
    """`folder` holds the copy; `environment` names its PostgreSQL and its Redis."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._copy_tree()
        servers.VAR = folder / "var"
        servers.VAR.mkdir(exist_ok=True)
        self.environment = {
            **os.environ,
            "POSTGRES_URL": servers.start_postgres(),
            "REDIS_URL": servers.start_redis(),
        }

    def run(self, *command: str, seconds: float | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `python COMMAND` in the copy. Raises `subprocess.TimeoutExpired` after `seconds`."""
        return subprocess.run(
            [PYTHON, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def _copy_tree(self) -> None:
        # mutmut keeps its results below `mutants/` of the copy, so that a second run tries only what has changed.
        for name in COPIED:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(BASE / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy2(BASE / name, self.folder / name)
