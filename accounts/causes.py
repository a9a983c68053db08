"""What lies behind a failure, in the log: once per cause in 10 s, so that an outage does not fill the disk."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

REPEAT_SECONDS = 10.0
# Different causes that are remembered; beyond them one line in 10 s stands for all others.
MOST_CAUSES = 100
LONGEST_CHAIN = 5
LONGEST_TEXT = 300
BASE = Path(__file__).resolve().parent.parent
# What differs between two events of one cause: process ids, addresses, names in quotes.
VARYING = re.compile(r"\"[^\"]*\"|'[^']*'|0x[0-9a-f]+|\d+")


@dataclass(slots=True)
class Repeats:
    until: float
    number: int = 0


class CauseLog:
    """Logs a cause when it comes up, and again every 10 s while it lasts, with the number of events in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repeats: dict[str, Repeats] = {}

    def forget(self) -> None:
        with self._lock:
            self._repeats.clear()

    def error(self, logger: logging.Logger, what: str, error: BaseException) -> None:
        """`what` says what failed, and holds no secret and nothing of the caller's."""
        before = self._repeats_before(f"{what} {VARYING.sub('#', describe(error))}")
        if before is None:
            return
        more = f" ({before} more like it since the last line)" if before else ""
        logger.error("Error: %s: %s%s%s", what, describe(error), place(error), more)

    def _repeats_before(self, key: str) -> int | None:
        """How many events of this cause were not logged before this one; None: this one is not logged either."""
        now = time.monotonic()
        with self._lock:
            if key not in self._repeats and len(self._repeats) >= MOST_CAUSES:
                self._repeats = {each: found for each, found in self._repeats.items() if found.until > now}
                key = key if len(self._repeats) < MOST_CAUSES else "others"
            found = self._repeats.get(key)
            if found is not None and now < found.until:
                found.number += 1
                return None
            self._repeats[key] = Repeats(now + REPEAT_SECONDS)
            return found.number if found is not None else 0


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from."""
    current: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if current is None:
            return
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def describe(error: BaseException) -> str:
    """`AccountsAway, from OperationalError: deadlock detected`: the first line only. The others may hold rows."""
    return ", from ".join(_line(each) for each in chain(error))


def _line(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0][:LONGEST_TEXT]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def place(error: BaseException) -> str:
    """Where in our code the first cause came up: ` at usage/redis.py:98`."""
    *_, first = chain(error)
    ours = [at for at in _places(first.__traceback__) if at[0].is_relative_to(BASE) and ".venv" not in at[0].parts]
    return f" at {ours[-1][0].relative_to(BASE)}:{ours[-1][1]}" if ours else ""


def _places(trace: TracebackType | None) -> Iterator[tuple[Path, int]]:
    while trace is not None:
        yield Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
        trace = trace.tb_next


causes = CauseLog()
