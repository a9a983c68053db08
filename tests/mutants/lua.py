"""Mutants of the Lua scripts: a list of our own, because no kept tool mutates Lua."""

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iafactory.run import BASE

from .lanes import Lane

LIST = Path(__file__).with_name("lua.toml")
SCRIPTS = Path("usage/scripts")
# The quick ones first: most faults end there.
TESTS = (
    "usage/tests/test_admission.py",
    "usage/tests/test_room.py",
    "usage/tests/test_ends_once.py",
    "usage/tests/test_two_amounts.py",
    "usage/tests/test_attempts.py",
    "usage/tests/test_ledger.py",
    "usage/tests/test_midnight.py",
    "usage/tests/test_health.py",
    "usage/tests",
)
SECONDS = 300


@dataclass(frozen=True)
class LuaMutant:
    """`old` stands exactly once in `script` and becomes `new`; `fault` says what that would do."""

    script: str
    old: str
    new: str
    fault: str


def listed() -> list[LuaMutant]:
    return [LuaMutant(**entry) for entry in tomllib.loads(LIST.read_text())["mutant"]]


def try_listed(lane: Lane) -> Iterator[tuple[LuaMutant, bool]]:
    """Each mutant, and whether a test failed. The unchanged scripts must pass first."""
    if not passes(lane):
        raise RuntimeError("The tests fail without any mutant.")
    for mutant in listed():
        script = lane.folder / SCRIPTS / mutant.script
        text = script.read_text()
        if text.count(mutant.old) != 1:
            raise LookupError(f"{mutant.script} does not hold this exactly once: {mutant.old!r}. Mend {LIST.name}.")
        try:
            script.write_text(text.replace(mutant.old, mutant.new))
            yield mutant, not passes(lane)
        finally:
            shutil.copy2(BASE / SCRIPTS / mutant.script, script)


def passes(lane: Lane) -> bool:
    command = ("-m", "pytest", "-x", "-q", "--reuse-db", "-p", "no:cacheprovider", *TESTS)
    try:
        done = lane.run(*command, seconds=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"pytest did not run:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.returncode == 0
