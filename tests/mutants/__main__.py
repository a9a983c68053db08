"""`make mutants`: small faults put into the money's code one at a time; do the tests beside it notice them?

Prints a table and writes `var/mutants.md`. Exit status 1 when fewer than 95 % are noticed or a survivor is unexplained.
"""

import argparse
import signal
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from iafactory.run import BASE

from . import lua, python
from .lanes import Lane

MODULES = (
    "usage/admission.py",
    "usage/recovery.py",
    "usage/rebuilding.py",
    "usage/drainer.py",
    "llmrouter/pricing.py",
    "llmrouter/metering.py",
    "billing/settlement.py",
    "billing/subscriptions.py",
    "billing/webhooks.py",
    "billing/refunds.py",
    "billing/entitlements.py",
)
WANTED_PERCENT = 95
EXPLAINED = Path(__file__).with_name("explained.toml")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of module names, or `lua`; everything when none is given")
    parser.add_argument("--lanes", type=int, default=2, help="how many mutants are tried at once")
    arguments = parser.parse_args()
    # Leave by an exception, so that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = [m for m in MODULES if not arguments.only or any(part in m for part in arguments.only)]
    lanes = [Lane(BASE / "var" / "mutants" / str(number)) for number in range(arguments.lanes)]
    mutants = in_lanes(lanes, chosen)
    if not arguments.only or "lua" in arguments.only:
        mutants += of_scripts(lanes[0])
    text = report(mutants)
    print(text)
    (BASE / "var" / "mutants.md").write_text(text + "\n")
    return 0 if good_enough(mutants) else 1


def in_lanes(lanes: Sequence[Lane], modules: Sequence[str]) -> list[python.Mutant]:
    """The modules dealt out to the lanes, the largest first."""
    by_size = sorted(modules, key=lambda module: -(BASE / module).stat().st_size)
    dealt = [(lane, by_size[start :: len(lanes)]) for start, lane in enumerate(lanes)]
    with ThreadPoolExecutor(len(lanes)) as pool:
        tried = pool.map(lambda pair: python.try_modules(*pair), [pair for pair in dealt if pair[1]])
        return [mutant for found in tried for mutant in found]


def of_scripts(lane: Lane) -> list[python.Mutant]:
    found = []
    for mutant, noticed in lua.try_listed(lane):
        print(f"{'noticed ' if noticed else 'SURVIVED'} {mutant.script}: {mutant.fault}", flush=True)
        change = f"- {mutant.old}\n+ {mutant.new}"
        found.append(python.Mutant(f"usage/scripts/{mutant.script}", mutant.fault, change, noticed))
    return found


def explanations() -> dict[tuple[str, str], str]:
    entries = tomllib.loads(EXPLAINED.read_text()).get("survivor", [])
    return {(entry["module"], entry["change"].strip()): entry["why"] for entry in entries}


def good_enough(mutants: Sequence[python.Mutant]) -> bool:
    known = explanations()
    noticed = sum(mutant.noticed for mutant in mutants)
    unexplained = [m for m in mutants if not m.noticed and (m.module, m.change) not in known]
    return not unexplained and 100 * noticed >= WANTED_PERCENT * len(mutants)


def report(mutants: Sequence[python.Mutant]) -> str:
    made, noticed = Counter(m.module for m in mutants), Counter(m.module for m in mutants if m.noticed)
    lines = ["| module | mutants | noticed | survived |", "| --- | --- | --- | --- |"]
    lines += [line(module, noticed[module], made[module]) for module in made]
    lines += [line("in all", noticed.total(), made.total()), ""]
    known = explanations()
    for mutant in mutants:
        if not mutant.noticed:
            why = known.get((mutant.module, mutant.change), "UNEXPLAINED")
            lines += [f"{mutant.module} `{mutant.function}`: {why}", "```diff", mutant.change, "```"]
    return "\n".join(lines)


def line(name: str, noticed: int, made: int) -> str:
    share = f"{100 * noticed / made:.1f} %" if made else "-"
    return f"| {name} | {made} | {share} | {made - noticed} |"


if __name__ == "__main__":
    sys.exit(main())
