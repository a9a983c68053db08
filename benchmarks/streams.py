"""`make bench-streams`: so many streams at once through two workers; are they all whole, and in how much memory?

python -m benchmarks.streams [--streams 500] [--chunks 50] [--pace 0.1] [--door v1|v2]
"""

import argparse
import threading
import time

from . import processes, rig

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}], "stream": True}
DOORS = {"v1": "/v1/chat/completions", "v2": "/api/v2/chat"}


class Peak:
    """The most memory that the workers had, looked at twice a second."""

    def __init__(self, pids: list[int]) -> None:
        self.seen = processes.memory(pids)
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            now = processes.memory(self._pids)
            if now.resident > self.seen.resident:
                self.seen = now

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--chunks", type=int, default=50)
    parser.add_argument("--pace", type=float, default=0.1, help="seconds between two chunks")
    parser.add_argument("--door", choices=DOORS, default="v1")
    asked = parser.parse_args()
    with rig.upstream() as provider, rig.product(provider) as product:
        provider.set(first=asked.pace, pace=asked.pace, chunks=asked.chunks)
        wanted = {"body": BODY, "callers": asked.streams, "pieces": asked.chunks}
        direct = rig.load(url=provider.url() + "/chat/completions", **wanted)
        url = product.url + DOORS[asked.door]
        rig.load(url=url, tokens=product.keys, **{**wanted, "callers": 20})
        before = product.cpu()
        with Peak(product.pids("web")) as peak:
            found = rig.load(url=url, tokens=product.keys, **wanted)
        used = {name: now - before[name] for name, now in product.cpu().items()}
        product.wait_until_drained()
        rows = rows_of_streams()
    print(f"{asked.streams} streams at once of {asked.chunks} chunks, {asked.pace * 1000:.0f} ms apart, 2 workers")
    print(f"  whole: {found['all_calls']} of {asked.streams}; errors: {found['errors']} {found['kinds']}")
    print(f"  first chunk ms: {found['first_ms']}  (the provider asked directly: {direct['first_ms']})")
    print(f"  whole stream ms: {found['ms']}  (directly: {direct['ms']})")
    print(f"  memory of master and workers: {peak.seen.resident} MB resident, {peak.seen.proportional} MB proportional")
    print("  CPU ms per stream: " + ", ".join(f"{k} {v * 1000 / asked.streams:.2f}" for k, v in used.items()))
    print(f"  usage rows of whole streams in the table: {rows}")
    return 0 if found["all_calls"] == asked.streams and not found["errors"] else 1


def rows_of_streams() -> int:
    from usage.models import UsageLog

    time.sleep(0.5)
    return UsageLog.objects.filter(streamed=True, error_flag=False, estimated=False).count()


if __name__ == "__main__":
    raise SystemExit(main())
