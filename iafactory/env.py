"""Typed readers of the environment.

The process environment wins over `.env.local`. Values are stripped, and an empty value is the same as none, so that
`NAME=` in a template never counts as a setting.
"""

import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values

MAIL_BACKENDS = {
    "smtp": "smtp",
    "smtps": "smtp",
    "smtp+tls": "smtp",
    "smtp+ssl": "smtp",
    "file": "filebased",
    "console": "console",
}
MAIL_PORTS = {"smtp": 25, "smtps": 465, "smtp+tls": 587, "smtp+ssl": 465}


BASE_DIR = Path(__file__).resolve().parent.parent


def env_file() -> Path:
    """`.env.local` of the checkout, unless ENV_FILE in the process environment names another file."""
    return Path(os.environ.get("ENV_FILE") or BASE_DIR / ".env.local")


def read_environment(env_file: Path) -> dict[str, str]:
    """The merged environment: what the process was given, over what `env_file` says."""
    merged: dict[str, str] = {}
    for source in (read_env_file(env_file), os.environ):
        merged.update({name: value.strip() for name, value in source.items() if value and value.strip()})
    return merged


def read_env_file(path: Path) -> dict[str, str]:
    # interpolate=False: a `$` in a password is a `$`.
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


class Env:
    """Readers over one mapping; each names the variable in its error, never the value (it may be a secret)."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def choice(self, name: str, *allowed: str) -> str:
        """One of `allowed`; the first is the default."""
        value = self.text(name, allowed[0]).lower()
        if value not in allowed:
            raise ImproperlyConfigured(f"{name} must be one of: {', '.join(allowed)}.")
        return value

    def integer(self, name: str, default: int) -> int:
        try:
            return int(self.text(name, str(default)))
        except ValueError:
            raise ImproperlyConfigured(f"{name} must be a whole number.") from None

    def amount(self, name: str, default: str) -> Decimal:
        """A finite, non-negative decimal: money or a rate of exchange."""
        try:
            value = Decimal(self.text(name, default))
        except InvalidOperation:
            raise ImproperlyConfigured(f"{name} must be a decimal number.") from None
        if not value.is_finite() or value < 0:
            raise ImproperlyConfigured(f"{name} must be zero or more.")
        return value

    def rate(self, name: str, default: str) -> str:
        """So many in a time, as django-ratelimit writes it: `10/h`."""
        value = self.text(name, default)
        if not re.fullmatch(r"\d+/\d*[smhd]", value):
            raise ImproperlyConfigured(f"{name} must be a rate such as 10/h (s, m, h or d).")
        return value

    def listing(self, name: str) -> tuple[str, ...]:
        """Comma-separated values, blanks dropped."""
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def networks(self, name: str) -> tuple[str, ...]:
        """Comma-separated addresses or networks (10.0.0.0/8)."""
        found = self.listing(name)
        for network in found:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ImproperlyConfigured(
                    f"{name} must be addresses or networks, separated by commas, such as 127.0.0.1, 10.0.0.0/8."
                ) from None
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name, "yes" if default else "no").lower()
        if value not in {"1", "0", "true", "false", "yes", "no", "on", "off"}:
            raise ImproperlyConfigured(f"{name} must be yes or no.")
        return value in {"1", "true", "yes", "on"}

    def mail(self, name: str) -> dict[str, Any]:
        """Where mail leaves, as Django's settings: `smtp://user:password@host:587`, `smtps://…`, `file:///folder`,
        `console://` (the default). Port 587 speaks STARTTLS and port 465 TLS, whatever the scheme."""
        parts = urlsplit(self.text(name, "console://"))
        backend = MAIL_BACKENDS.get(parts.scheme)
        if backend is None:
            raise ImproperlyConfigured(f"{name} must begin with one of: {', '.join(f'{s}://' for s in MAIL_BACKENDS)}.")
        found: dict[str, Any] = {"EMAIL_BACKEND": f"django.core.mail.backends.{backend}.EmailBackend"}
        if backend == "filebased":
            return found | {"EMAIL_FILE_PATH": unquote(parts.path)}
        if backend != "smtp":
            return found
        try:
            port = parts.port or MAIL_PORTS[parts.scheme]
        except ValueError:
            raise ImproperlyConfigured(f"The port in {name} must be a whole number.") from None
        if not parts.hostname:
            raise ImproperlyConfigured(f"{name} must name a host.")
        wrapped = port == 465 or (parts.scheme in {"smtps", "smtp+ssl"} and port != 587)
        return found | {
            "EMAIL_HOST": parts.hostname,
            "EMAIL_PORT": port,
            "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
            "EMAIL_USE_SSL": wrapped,
            "EMAIL_USE_TLS": not wrapped and (port == 587 or parts.scheme == "smtp+tls"),
        }


def generated_secret(name: str, folder: Path) -> str:
    """A secret of this checkout, made once in `folder/secrets` and kept there (development only)."""
    folder = folder / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name.lower()
    draft = folder / f".{name.lower()}.{os.getpid()}"
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            # Two processes may start at once: link() lets exactly one value win and fails for the other.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
