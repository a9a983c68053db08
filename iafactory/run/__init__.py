"""`make run`: the whole product on one machine, under one supervisor.

__main__     claims this checkout, stops what a killed supervisor left, prepares the embedded servers, supervises
postgres     the embedded PostgreSQL: initdb, its command line
redis        the embedded Redis: its configuration
chargily     Chargily's stand-in, where development has no key
programs     what runs beside what, and in which order it stops, as supervisord's configuration
leftovers    processes that outlived a supervisor that was killed
prepare      once per start, under the supervisor: wait, migrate, load, open the doors, print the way in
when_ready   what every other program waits with until then
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Workplace:
    """Where one checkout keeps what it makes: the data, the logs, and what is running now."""

    var: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Workplace":
        return cls(Path(environment.get("VAR_DIR") or BASE / "var").resolve())

    @property
    def run(self) -> Path:
        return self.var / "run"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def embedded_env(self) -> Path:
        """Addresses of the embedded servers, kept so that they stay the same from start to start."""
        return self.var / "embedded.env"

    @property
    def services_env(self) -> Path:
        """The addresses in use, for `psql`, `redis-cli` and `manage.py`."""
        return self.var / "services.env"

    @property
    def standin_env(self) -> Path:
        """How Chargily's stand-in is reached, for the programs and for `manage.py`; only where it is played."""
        return self.var / "chargily.env"

    @property
    def ready(self) -> Path:
        return self.run / "ready"

    @property
    def failed(self) -> Path:
        return self.run / "failed"
