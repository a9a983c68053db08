"""One round: the product under load, a fault, and the books after it."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import redis

from .books import audit
from .faults import AFTER, BEFORE, Fault
from .load import Load, Outcome
from .stage import Stage

# Settled and held of the day, seen in one step.
LOOK = """
local day = redis.call('GET', 'budget:day')
if not day then return {'0', '0'} end
return {redis.call('GET', 'budget:today:usd') or '0', redis.call('GET', 'budget:' .. day .. ':held') or '0'}
"""
ANSWERS = {0, 200, 429, 502, 503}


@dataclass
class Report:
    fault: str
    calls: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    attempts: int = 0
    rows: int = 0
    estimated: int = 0
    billed: int = 0
    accounted: int = 0
    peak: int = 0
    looks: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class Lookout:
    """Looks at the counters all the time, past the slow line."""

    def __init__(self, client: Any) -> None:
        self.peak = self.looks = 0
        self._client = client
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _look(self) -> None:
        while not self._stopping.wait(0.02):
            try:
                spent, held = self._client.eval(LOOK, 0)
            except redis.RedisError:
                continue
            whole, _, part = spent.partition(".")
            self.peak = max(self.peak, int(whole) * 10**9 + int(part.ljust(9, "0")[:9]) + int(held))
            self.looks += 1


def play(stage: Stage, fault: Fault) -> Report:
    report, began = Report(fault.name), time.monotonic()
    stage.start()
    lookout = Lookout(redis.Redis.from_url(stage.redis.server.url, socket_timeout=5, decode_responses=True))
    load = Load(stage.port, stage.people)
    load.start()
    time.sleep(BEFORE)
    try:
        report.violations += fault.strike(stage, load)
        time.sleep(AFTER)
    finally:
        load.stop()
    settled = stage.settle()
    lookout.stop()
    if not settled:
        report.violations.append("it did not come to rest")
    report.violations += recovered(stage, load) + ends(load.outcomes, fault)
    stage.settle()
    look_into_the_books(stage, fault, lookout, report)
    report.calls, report.statuses = len(load.outcomes), load.statuses()
    report.seconds = time.monotonic() - began
    return report


def look_into_the_books(stage: Stage, fault: Fault, lookout: Lookout, report: Report) -> None:
    books = stage.books(lookout.peak)
    report.violations += audit(books)
    report.attempts, report.rows = len(books.billed), len(books.rows)
    report.estimated = sum(row.estimated for row in books.rows)
    report.billed = sum(call.cost for call in books.billed)
    report.accounted = sum(row.cost for row in books.rows)
    report.peak, report.looks = lookout.peak, lookout.looks
    if fault.unhurt and (dead := stage.taken_for_dead()):
        report.violations.append(f"{dead} attempts of living processes were taken for dead")


def recovered(stage: Stage, load: Load) -> list[str]:
    """Without a restart by anybody, calls are served again: four in a row, of at most a dozen on a busy machine."""
    person = next(person for person in stage.people if person.tier == "enterprise")
    answers: list[Outcome] = []
    while len(answers) < 12:
        answers.append(load.call(person, "plain"))
        if [answer.status for answer in answers[-4:]] == [200] * 4:
            break
    load.outcomes += answers
    if [answer.status for answer in answers[-4:]] == [200] * 4:
        return []
    return [f"after it, calls are answered {[(a.status, a.code) for a in answers]}"]


def ends(outcomes: list[Outcome], fault: Fault) -> list[str]:
    """What callers may be told, and that no answer is cut, be it before its first byte. A connection that is refused is
    no cut: its caller knows that nothing was sent."""
    found = [
        f"{number} calls were answered {status}"
        for status, number in Counter(outcome.status for outcome in outcomes).items()
        if status not in ANSWERS
    ]
    cut = sum(outcome.end == "cut" for outcome in outcomes)
    if cut and not fault.kills:
        found.append(f"{cut} answers were cut")
    if not any(outcome.status == 200 for outcome in outcomes):
        found.append("nobody was served at all")
    return found
