"""Run as a program: a leader of a recovery that says when it is in the middle of its count, and then waits for a line.

    python -m tests.standing_leader WHERE SECONDS

WHERE is `lock`, `claim` or `count`; a sign of life is worth SECONDS.
"""

import sys

import django

django.setup()

from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from django.db import DatabaseError  # noqa: E402

from usage import leadership, rebuilding, recovery  # noqa: E402
from usage.errors import NotNow  # noqa: E402

PLACES = {
    "lock": (recovery, "trusted_epoch"),
    "count": (rebuilding, "count_day"),
    "claim": (leadership.Leader, "write"),
}


def waits(real: Callable[..., Any]) -> Callable[..., Any]:
    def wait_and_go_on(*args: Any, **named: Any) -> Any:
        found = real(*args, **named)
        print("there", flush=True)  # noqa: T201
        sys.stdin.readline()
        return found

    return wait_and_go_on


def main(where: str, seconds: float) -> None:
    leadership.FROZEN_SECONDS = seconds
    owner, name = PLACES[where]
    setattr(owner, name, waits(getattr(owner, name)))
    try:
        recovery.recover()
    except (NotNow, DatabaseError) as error:
        print(type(error).__name__, flush=True)  # noqa: T201
    else:
        print("recovered", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
