"""How each provider does: its calls, and what the breakers know of it and its keys."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from iafactory.alerts.rules import KEY, Alert
from llmrouter.providers import registry
from llmrouter.providers.registry import Connection
from usage import health
from usage.clock import zone
from usage.errors import NotNow
from usage.health import Breaker
from usage.reports.history import ProviderFigures

# `partly`: some of its models or keys are left alone. `off`: no key. `unknown`: Redis cannot be asked.
State = Literal["working", "partly", "resting", "off", "unknown"]


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """`figures` is None where it was not called. `reasons` are our codes; `until` is when it is tried again."""

    name: str
    figures: ProviderFigures | None
    state: State
    reasons: tuple[str, ...] = ()
    until: datetime | None = None
    keys: int = 0
    keys_refused: int = 0
    console: str = ""

    @property
    def failing(self) -> bool:
        return self.figures is not None and self.figures.error_rate > 5


def provider_rows(figures: Iterable[ProviderFigures], alerts: Iterable[Alert]) -> list[ProviderRow]:
    """Those that were called, the dearest first, and then those that could be."""
    called = {found.provider: found for found in figures}
    connections = {connection.provider.name: connection for connection in registry.connections()}
    breakers = breakers_by_provider()
    # Calls found them refused or without credit, or the nightly check.
    refused = Counter(alert.values["provider"] for alert in alerts if alert.rule is KEY)
    names = [*called, *(name for name in connections if name not in called)]
    return [row(name, called.get(name), connections.get(name), breakers, refused[name]) for name in names]


def row(
    name: str,
    figures: ProviderFigures | None,
    connection: Connection | None,
    breakers: dict[str, list[Breaker]] | None,
    refused: int,
) -> ProviderRow:
    if connection is None:
        return ProviderRow(name, figures, "off")
    keys = [key for key in connection.keys if key.text]
    if breakers is None:
        return ProviderRow(name, figures, "unknown", keys=len(keys), console=connection.provider.console)
    found = breakers.get(name, [])
    down = name in {breaker.subject for breaker in found} or (keys and refused == len(keys))
    return ProviderRow(
        name,
        figures,
        state="resting" if down else "partly" if found or refused else "working",
        reasons=tuple(dict.fromkeys(breaker.reason for breaker in found)),
        until=datetime.fromtimestamp(max(b.until for b in found), zone()) if found else None,
        keys=len(keys),
        keys_refused=refused,
        console=connection.provider.console,
    )


def breakers_by_provider() -> dict[str, list[Breaker]] | None:
    try:
        found = health.breakers_now()
    except NotNow:
        # The page is for such hours, too; that Redis is away is an alert on it.
        return None
    by_name: dict[str, list[Breaker]] = {}
    for breaker in found:
        by_name.setdefault(breaker.subject.split("/")[0].split("#")[0], []).append(breaker)
    return by_name
