"""Mutants of Python modules, made and tried by mutmut; each function's mutants by the tests that run through it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .lanes import Lane

# The tests beside the code. A fault in the money should fail there, in seconds.
TESTS = (
    "usage/tests",
    "billing/tests",
    "llmrouter/tests/test_pricing.py",
    "llmrouter/tests/test_streaming.py",
    "llmrouter/tests/test_chat.py",
    "llmrouter/tests/test_cost_of_a_chat.py",
)
# mutmut's exit codes: every test passed; no test was selected; no test runs through the function.
SURVIVED = {0, 5, 33}
# Interrupted, or not tried.
UNDECIDED = {2, None}

CONFIGURATION = """
[tool.mutmut]
source_paths = ["accounts", "billing", "iafactory", "llmrouter", "usage"]
only_mutate = {modules}
also_copy = {also_copy}
do_not_mutate_patterns = ["logger\\\\.", "^from ", "^import "]
pytest_add_cli_args = ["--reuse-db", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
# gevent patches the standard library: every run is forked from a process that has only collected the tests.
process_isolation = "forkserver"
timeout_multiplier = 3.0
timeout_constant = 15.0
on_dependency_change = "ignore"
"""


@dataclass(frozen=True)
class Mutant:
    """`change` is the changed lines of its diff. They name the mutant when lines move; mutmut's number does not."""

    module: str
    function: str
    change: str
    noticed: bool


def try_modules(lane: Lane, modules: Sequence[str]) -> list[Mutant]:
    configure(lane, modules)
    patterns = [f"{module.removesuffix('.py').replace('/', '.')}.*" for module in modules]
    done = lane.run("-m", "mutmut", "run", "--max-children", "1", *patterns)
    if done.returncode:
        raise RuntimeError(f"mutmut failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return [mutant for module in modules for mutant in results(lane, module)]


def configure(lane: Lane, modules: Iterable[str]) -> None:
    text = (lane.folder / "pyproject.toml").read_text().partition("[tool.mutmut]")[0]
    also_copy = ["tests", "templates", "locale", "docs", "conftest.py", "pytest.ini", "manage.py", ".env.example"]
    made = CONFIGURATION.format(
        modules=json.dumps(list(modules)), also_copy=json.dumps(also_copy), tests=json.dumps(list(TESTS))
    )
    (lane.folder / "pyproject.toml").write_text(text + made)


def results(lane: Lane, module: str) -> Iterable[Mutant]:
    found = json.loads((lane.folder / "mutants" / f"{module}.meta").read_text())["exit_code_by_key"]
    for name, exit_code in found.items():
        if exit_code in UNDECIDED:
            raise RuntimeError(f"{name} was not tried; run it again")
        noticed = exit_code not in SURVIVED
        change = "" if noticed else change_of(lane, name)
        yield Mutant(module, function_of(name), change, noticed)


def function_of(name: str) -> str:
    """`billing.refunds.x_refund__mutmut_3` -> `refund`. Of a method: `xǁMeterǁtake__mutmut_1` -> `Meter.take`."""
    mangled = name.rpartition(".")[2].partition("__mutmut_")[0]
    return mangled.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in mangled else mangled.removeprefix("x_")


def change_of(lane: Lane, name: str) -> str:
    diff = lane.run("-m", "mutmut", "show", name).stdout.splitlines()
    lines = [line for line in diff if line[:1] in "+-" and not line.startswith(("---", "+++"))]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)
