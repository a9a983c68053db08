"""`make soak`: the running product under steady load, its memory every ten seconds; status 1 if it grows, or on any
violation of the promises at the end. `SOAK_SECONDS` says for how long (900)."""

import argparse
import statistics
import sys
import time
from pathlib import Path

import psutil

from iafactory.run import BASE
from iafactory.run.leftovers import processes_of

from .__main__ import settings_of, standin
from .books import audit
from .faults import Fault
from .load import Load
from .rounds import Lookout
from .stage import Postgres, Stage, copy_template, fresh, make_template

PROGRAMS = ("web", "drainer", "worker", "beat")
EVERY_SECONDS = 10
# Of what it had once everything was warm. Allocators breathe; a leak of one kilobyte a call would pass this soon.
MOST_GROWTH = 0.10
WARM_SHARE = 0.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=900)
    seconds = parser.parse_args().seconds
    folder = fresh(BASE / "var" / "soak")
    postgres, calm = Postgres(folder / "postgres"), Fault("soak", lambda _stage, _load: [])
    try:
        people = make_template(postgres.url, settings_of(calm), folder / "template")
        stage = Stage(
            folder=fresh(folder / "round"),
            postgres_url=copy_template(postgres.url, "soak"),
            standin=standin(),
            people=people,
            environment=settings_of(calm),
            postgres=postgres,
            # Enough for paid and free calls all the time.
            budget=10**9 * 1000,
        )
        return soak(stage, seconds)
    finally:
        postgres.kill()


def soak(stage: Stage, seconds: int) -> int:
    stage.start()
    lookout, load = Lookout(stage.redis.client), Load(stage.port, stage.people)
    load.start()
    try:
        found = watch(stage, load, seconds)
    finally:
        load.stop()
    stage.settle()
    lookout.stop()
    violations = audit(stage.books(lookout.peak)) + growth(found)
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(load.outcomes)} calls, {len(violations)} violations", flush=True)
    stage.close()
    return 1 if violations else 0


def watch(stage: Stage, load: Load, seconds: int) -> dict[str, list[float]]:
    """Megabytes of each program over time, all its processes together; printed as they come."""
    found: dict[str, list[float]] = {name: [] for name in (*PROGRAMS, "redis")}
    print("| seconds | calls | " + " | ".join(f"{name} MB" for name in found) + " |")
    print("| --- " * (len(found) + 2) + "|")
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        for name in PROGRAMS:
            found[name].append(megabytes(stage.var, name))
        found["redis"].append(int(stage.redis.client.info("memory")["used_memory"]) / 2**20)
        now = " | ".join(f"{values[-1]:.1f}" for values in found.values())
        print(f"| {passed:.0f} | {len(load.outcomes)} | {now} |", flush=True)
        time.sleep(EVERY_SECONDS)
    return found


def megabytes(var: Path, program: str) -> float:
    total = 0
    for process in processes_of(var, program):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def growth(found: dict[str, list[float]]) -> list[str]:
    """What grew between its first quarter's end and the last quarter, by the medians."""
    told = []
    for name, values in found.items():
        quarter = max(1, int(len(values) * WARM_SHARE))
        before, after = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
        print(f"{name}: {before:.1f} MB -> {after:.1f} MB ({(after / before - 1) * 100:+.1f} %)")
        if after > before * (1 + MOST_GROWTH) and after - before > 10:
            told.append(f"{name} grew from {before:.1f} to {after:.1f} MB")
    return told


if __name__ == "__main__":
    sys.exit(main())
