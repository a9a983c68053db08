"""`python -m iafactory.run.when_ready FILE COMMAND…`: wait until FILE exists, then become COMMAND.

The supervisor starts everything at once; nothing may speak to the database before `prepare` has migrated it.
"""

import os
import sys
import time
from pathlib import Path


def main(ready: str, *command: str) -> None:
    while not Path(ready).exists():
        time.sleep(0.1)
    os.execv(command[0], command)  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    main(*sys.argv[1:])
