"""`make bench`: ours and its peers before one upstream, interleaved; medians of several rounds, as tables.

    python -m benchmarks [--rounds 3] [--only cpu,ours,portkey]

`--only` names parts (cpu, latency, hold, streams), contenders (ours, gevent, asgi, portkey, litellm), or both. In each
round every contender has its short turn, forwards and backwards by turns: whatever else the machine does meanwhile, it
does to all of them. Absolute figures are this machine's; the ratios are what can be compared.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from . import contenders, rig
from .contenders import CHAT, Contender

# One round of one part: figures by contender and name.
Figures = dict[str, dict[str, float]]

AT_ONCE = (1, 16, 64, 256)
SLICE_SECONDS = 2.0
HELD = (500, 1000, 2000)
HELD_SECONDS = 6.0
STREAMS = (10, 300, 500)
STREAM_SECONDS = 5.0


def turns(all_of_them: list[Contender], number: int) -> Iterator[Contender]:
    yield from all_of_them if number % 2 == 0 else reversed(all_of_them)


def used(contender: Contender, action: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, float]]:
    """What the callers saw, and CPU milliseconds per call: the contender's own (`cpu`), and of what works for it."""
    before = contender.cpu()
    seen = action()
    after = contender.cpu()
    calls = max(1, seen["all_calls"])
    spent = {name: (after[name] - before[name]) * 1000 / calls for name in after}
    return seen, {f"cpu {name}".strip(): value for name, value in spent.items()}


def cpu(all_of_them: list[Contender], upstream: rig.Upstream, number: int) -> Figures:
    """The upstream answers at once: calls a second, and CPU per call, with so many callers."""
    upstream.set(delay=0)
    found: Figures = {}
    for contender in turns(all_of_them, number):
        figures = found.setdefault(contender.name, {})
        for callers in AT_ONCE:

            def action(contender: Contender = contender, callers: int = callers) -> dict[str, Any]:
                return contender.call(callers=callers, seconds=SLICE_SECONDS, warm_up=0.2)

            seen, spent = used(contender, action)
            figures[f"calls/s at {callers}"] = seen["per_second"]
            figures[f"errors at {callers}"] = seen["errors"]
            figures |= {f"{name} at {callers}": value for name, value in spent.items()}
    found["stand-in, asked directly"] = {
        f"calls/s at {callers}": directly(upstream, callers=callers, seconds=SLICE_SECONDS / 2)["per_second"]
        for callers in AT_ONCE
    }
    return found


def latency(all_of_them: list[Contender], upstream: rig.Upstream, number: int) -> Figures:
    """40 calls a second, come what may; the upstream takes 20 ms. What is added to asking it directly."""
    upstream.set(delay=0.02)
    steady: Any = {"callers": 4, "seconds": 4, "warm_up": 0.5, "rate": 40}
    found: Figures = {"directly": directly(upstream, **steady)["ms"]}
    for contender in turns(all_of_them, number):
        seen = contender.call(**steady)["ms"]
        found[contender.name] = {
            f"added {name}": seen[name] - found["directly"][name] for name in ("p50", "p95", "p99")
        }
    return found


def hold(all_of_them: list[Contender], upstream: rig.Upstream, number: int) -> Figures:
    """The upstream takes a second: how many calls can be held, and in how much memory. With N held, N/s is ideal."""
    upstream.set(delay=1)
    found: Figures = {}
    for contender in turns(all_of_them, number):
        figures = found.setdefault(contender.name, {})
        for callers in HELD:
            seen = contender.call(callers=callers, seconds=HELD_SECONDS, warm_up=2.5)
            memory = contender.memory()
            figures |= {
                f"calls/s at {callers}": seen["per_second"],
                f"p99 ms at {callers}": seen["ms"].get("p99", 0),
                f"errors at {callers}": seen["errors"],
                f"RSS MB at {callers}": memory.resident,
                f"PSS MB at {callers}": memory.proportional,
            }
            if seen["errors"] or seen["per_second"] < callers / 5:
                # More would only be worse.
                break
    return found


def streams(all_of_them: list[Contender], upstream: rig.Upstream, number: int) -> Figures:
    """Streams of 50 chunks, the first after 100 ms, the others 20 ms apart: 1.08 s at best."""
    upstream.set(first=0.1, pace=0.02, chunks=50)
    found: Figures = {}
    for contender in turns([each for each in all_of_them if each.streams], number):
        figures = found.setdefault(contender.name, {})
        for callers in STREAMS:

            def action(contender: Contender = contender, callers: int = callers) -> dict[str, Any]:
                return contender.call(
                    stream=True, callers=callers, seconds=STREAM_SECONDS, warm_up=1.5, pieces=50, patience=30
                )

            seen, spent = used(contender, action)
            figures |= {
                f"first chunk p50 ms at {callers}": seen["first_ms"].get("p50", 0),
                f"first chunk p99 ms at {callers}": seen["first_ms"].get("p99", 0),
                f"streams/s at {callers}": seen["per_second"],
                f"errors at {callers}": seen["errors"],
                f"cpu at {callers}": spent["cpu"],
            }
    found["directly"] = {}
    for callers in STREAMS:
        seen = directly(upstream, stream=True, callers=callers, seconds=STREAM_SECONDS, warm_up=1.5, pieces=50)
        found["directly"] |= {
            f"first chunk p50 ms at {callers}": seen["first_ms"].get("p50", 0),
            f"first chunk p99 ms at {callers}": seen["first_ms"].get("p99", 0),
            f"streams/s at {callers}": seen["per_second"],
            f"errors at {callers}": seen["errors"],
        }
    return found


def directly(upstream: rig.Upstream, *, stream: bool = False, **wanted: Any) -> dict[str, Any]:
    body = {**CHAT, "stream": True} if stream else CHAT
    return rig.load(url=upstream.url() + "/chat/completions", body=body, **wanted)


PARTS: dict[str, Callable[[list[Contender], rig.Upstream, int], Figures]] = {
    "cpu": cpu,
    "latency": latency,
    "hold": hold,
    "streams": streams,
}


def medians(rounds: list[Figures]) -> Figures:
    return {
        contender: {
            name: statistics.median([each[contender][name] for each in rounds if name in each[contender]])
            for name in dict.fromkeys(name for each in rounds for name in each[contender])
        }
        for contender in rounds[0]
    }


def table(figures: Figures) -> str:
    """Figures down, contenders across."""
    names = list(dict.fromkeys(name for each in figures.values() for name in each))
    lines = ["| | " + " | ".join(figures) + " |", "| --- |" + " --- |" * len(figures)]
    for name in names:
        cells = [f"{each[name]:.4g}" if name in each else "" for each in figures.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(figures: Figures, name: str, to: str) -> str:
    """How the others stand to one of them, figure by figure."""
    base = figures.get(to, {}).get(name)
    if not base:
        return ""
    parts = [f"{each} {found[name] / base:.2f}" for each, found in figures.items() if name in found]
    return f"{name}, as multiples of {to}: " + ", ".join(parts)


def ready(contender: Contender) -> None:
    """Its first answers: pools filled, code compiled, caches warm."""
    for _ in range(30):
        if not contender.call(callers=4, seconds=1)["errors"]:
            contender.call(callers=64, seconds=1.5)
            return
    raise RuntimeError(f"{contender.name} does not answer; see var/bench/contenders.log")


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "?")
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return f"{os.cpu_count()} CPUs ({model}), {platform.platform()}, Python {platform.python_version()}, node {node}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    only = [name for name in asked.only.split(",") if name]
    if unknown := set(only) - PARTS.keys() - contenders.STARTERS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    parts = [name for name in PARTS if name in only] or list(PARTS)
    names = [name for name in contenders.STARTERS if name in only] or list(contenders.STARTERS)
    print(machine(), flush=True)
    results: dict[str, Figures] = {}
    with rig.upstream() as upstream, contenders.all_up(upstream, names) as all_of_them:
        upstream.set(delay=0)
        for contender in all_of_them:
            ready(contender)
        for part in parts:
            rounds = [PARTS[part](all_of_them, upstream, number) for number in range(asked.rounds)]
            results[part] = medians(rounds)
            print(f"\n## {part}: {PARTS[part].__doc__}\n(medians of {asked.rounds} rounds)\n")
            print(table(results[part]))
            for base in (each for each in results[part] if not each.startswith("ours")):
                for name in ("cpu at 16", "cpu at 64", "calls/s at 2000", "first chunk p99 ms at 300"):
                    if line := ratios(results[part], name, base):
                        print(line)
            sys.stdout.flush()
    rig.bench_path(f"results-{'-'.join(parts)}.json").write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
