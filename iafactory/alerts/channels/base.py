"""What a channel is, what it carries, and the one way in which channels speak HTTP."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import requests
from django.utils.translation import gettext as _

SECONDS = 10.0
# An answer is only its status and a code or two.
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Note:
    """An alert as it leaves: `level` is warning, critical or recovered; sentences are in the operator's language."""

    id: str
    rule: str
    subject: str
    level: str
    message: str
    action: str
    at: datetime

    @property
    def title(self) -> str:
        words = {"warning": _("Warning"), "critical": _("Critical"), "recovered": _("Recovered")}
        return f"[IA Factory] {words[self.level]}"

    @property
    def text(self) -> str:
        mark = {"warning": "⚠️", "critical": "🔴", "recovered": "✅"}[self.level]
        return "\n".join(
            line for line in (f"{mark} {self.title}", self.message, self.action and f"→ {self.action}") if line
        )


class ChannelFailed(Exception):
    """It could not be sent. Holds a code of ours, never an address or what the other side said: those hold tokens."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Channel(Protocol):
    name: str

    def configured(self) -> bool: ...

    def send(self, note: Note) -> None:
        """Raises `ChannelFailed`."""
        ...


def post(url: str, headers: Mapping[str, str], body: bytes) -> Any:
    """Send, and the answer's JSON (None where it is none). Raises `ChannelFailed` unless it is a 2xx.

    requests tells the whole URL in its exceptions, and Telegram's holds the token: so no exception of its gets out,
    not even as the context of ours, which is why ours is raised after the `except`.
    """
    try:
        with requests.Session() as session:
            # No proxy, and no .netrc of this machine's gets to see it.
            session.trust_env = False
            answer = session.post(
                url, data=body, headers=dict(headers), timeout=SECONDS, allow_redirects=False, stream=True
            )
            content = answer.raw.read(MOST_BYTES, decode_content=True)
        code = "" if answer.ok and not answer.is_redirect else f"status_{answer.status_code}"
    except requests.Timeout:
        code = "timeout"
    except requests.exceptions.SSLError:
        code = "tls"
    except (requests.RequestException, OSError, ValueError):
        code = "no_connection"
    if code:
        raise ChannelFailed(code)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def refuse_inner_addresses(url: str, *, private_too: bool) -> None:
    """Not to where only this machine should reach: the cloud's metadata service hands its secrets to whoever asks.
    Raises `ChannelFailed`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ChannelFailed("bad_address")
    code = ""
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError):
        found, code = [], "no_such_host"
    if code or any(inner(str(address[4][0]), private_too=private_too) for address in found):
        raise ChannelFailed(code or "inner_address")


def inner(text: str, *, private_too: bool) -> bool:
    address = ipaddress.ip_address(text.split("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (private_too and not address.is_global)
    )
