"""The providers as data: `registry.toml`, and this installation's keys and addresses for each."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from django.conf import settings

from accounts.once import Once
from accounts.plain import is_plain

SOURCE = Path(__file__).with_name("registry.toml")
SETS = ("drops", "message_drops", "takes", "thoughts", "too_long_statuses")
LISTS = ("bad_key_phrases", "no_credit_phrases", "bills_on")
# Sent to those alone that name them in `takes`.
RARE = frozenset({"verbosity", "top_k", "min_p", "repetition_penalty", "prompt_cache_key", "safety_identifier"})


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """A call that costs nothing and tells whether a key is accepted; `url` is for one that lies elsewhere.

    `credit` is the path in its answer to what is left: false, or nothing above zero, is out of credit.
    """

    path: str = ""
    url: str = ""
    method: Literal["GET", "POST"] = "GET"
    body: Mapping[str, Any] | None = None
    auth: Literal["bearer", "x-api-key"] = "bearer"
    accepted: tuple[int, ...] = (200,)
    refused: tuple[int, ...] = (401, 403)
    credit: str = ""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a provider is waited for, in seconds. `whole` is a plain call in all. A stream may send nothing for
    `first_byte` before its first word, signs of life alone for `thinking`, no data for `idle` after it, and last for
    `stream` in all."""

    connect: float = 3.0
    whole: float = 120.0
    first_byte: float = 30.0
    thinking: float = 240.0
    idle: float = 60.0
    stream: float = 300.0


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    base_url: str
    console: str
    check: KeyCheck
    usage: Literal["asked", "always", "never-ask"]
    key_shape: str = ""
    # What its keys begin with and no other provider's do, where there is such a thing.
    mark: str = ""
    prices: str = ""
    dialect: Literal["openai", "anthropic", "demo"] = "openai"
    keyless: bool = False
    free: bool = False
    cap_field: str = "max_tokens"
    drops: frozenset[str] = frozenset()
    message_drops: frozenset[str] = frozenset()
    # Parameters that few providers know, and which of them this one does.
    takes: frozenset[str] = frozenset()
    # Fields with thoughts, and their signatures, that it takes back in an assistant's message.
    thoughts: frozenset[str] = frozenset()
    cache_marks: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    # What some of its models refuse beyond that: (regular expression of the name, parameters).
    model_drops: tuple[tuple[str, frozenset[str]], ...] = ()
    abort_stops_billing: bool = False
    # Those behind it (in lower case, by how their names begin) at which an aborted call is billed to its end.
    bills_on: tuple[str, ...] = ()
    tells_cost: bool = False
    takes_max_price: bool = False
    # What its error messages say (in lower case) where no code does.
    bad_key_phrases: tuple[str, ...] = ()
    no_credit_phrases: tuple[str, ...] = ()
    too_long_statuses: frozenset[int] = frozenset()
    patience: Patience = field(default_factory=Patience)

    def drops_for(self, model: str) -> frozenset[str]:
        by_model = (names for pattern, names in self.model_drops if re.match(pattern, model))
        return self.drops.union(RARE - self.takes, *by_model)

    def abort_ends_the_bill(self, behind: str) -> bool:
        return self.abort_stops_billing and not behind.lower().startswith(self.bills_on)

    @property
    def variable(self) -> str:
        return f"{self.name.upper()}_API_KEY"

    def knows_shape(self, key: str) -> bool:
        """Whether a key looks like one of its own. Providers change shapes: that it does not is no proof."""
        return re.fullmatch(self.key_shape, key) is not None


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a provider. `subject` names it to the breakers and to staff without giving it away."""

    subject: str
    text: str = field(repr=False)

    @property
    def credit(self) -> str:
        """Its name where paid calls are meant: a key without credit may still serve free models."""
        return f"{self.subject}$"


@dataclass(frozen=True)
class Connection:
    """A provider as this installation is configured for it."""

    provider: Provider
    base_url: str
    keys: tuple[Key, ...]
    free: bool

    @cached_property
    def usable_keys(self) -> tuple[Key, ...]:
        """Without those that no header can carry: each call by such a one would look like a fault of the provider."""
        return tuple(key for key in self.keys if is_plain(key.text))

    @property
    def check_url(self) -> str:
        """Where its keys are checked: nowhere else than at its address, where that is not the provider's own."""
        check = self.provider.check
        elsewhere = self.base_url == self.provider.base_url.rstrip("/") and check.url
        return elsewhere or self.base_url + check.path


def load(source: Path = SOURCE) -> dict[str, Provider]:
    return {name: _provider(name, entry) for name, entry in tomllib.loads(source.read_text()).items()}


def _provider(name: str, entry: dict[str, Any]) -> Provider:
    check = dict(entry.pop("check", {}))
    check |= {field: tuple(check[field]) for field in ("accepted", "refused") if field in check}
    entry |= {field: frozenset(entry[field]) for field in SETS if field in entry}
    entry |= {field: tuple(entry[field]) for field in LISTS if field in entry}
    entry["model_drops"] = tuple((pattern, frozenset(names)) for pattern, names in entry.get("model_drops", {}).items())
    entry["patience"] = Patience(**entry.get("patience", {}))
    return Provider(name=name, check=KeyCheck(**check), **entry)


PROVIDERS = load()


def connection(name: str) -> Connection | None:
    """How to reach a provider; None when it is not configured."""
    return _connections().get(name)


def connections() -> list[Connection]:
    """Every provider that is configured, in the order of the registry."""
    return list(_connections().values())


def _connect() -> dict[str, Connection]:
    found = {}
    for provider in PROVIDERS.values():
        texts = [part.strip() for part in settings.ENVIRONMENT.get(provider.variable, "").split(",") if part.strip()]
        address = settings.ENVIRONMENT.get(f"{provider.name.upper()}_BASE_URL", "")
        configured = address or provider.name == "demo" if provider.keyless else bool(texts)
        if configured:
            keys = tuple(Key(f"{provider.name}#{mark_of(text)}", text) for text in texts) or (Key(provider.name, ""),)
            free = provider.free or (provider.name == "groq" and settings.GROQ_BILLING == "free")
            found[provider.name] = Connection(provider, (address or provider.base_url).rstrip("/"), keys, free)
    # The demo answers in development, and only while nobody real can.
    if settings.PRODUCTION or len(found) > 1:
        found.pop("demo", None)
    return found


_connections = Once(_connect)


def forget_connections() -> None:
    _connections.forget()


def mark_of(key: str) -> str:
    """Eight hex digits that tell keys apart and cannot be turned back."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]
