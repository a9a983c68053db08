"""The corpus: answers in the shapes in which providers give them, byte for byte, and what a client must get of each.

`corpus/<provider>/<shape>.json` is a whole answer, `<shape>.sse` a stream; `corpus/<provider>/expected.toml` says what
is in them. docs/providers.md tells how to add one.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from llmrouter.catalogue import forget_catalogue
from llmrouter.models import Route
from llmrouter.providers import registry
from tests.standins.provider import Call, Handler, Misbehaviour, ProviderStandIn

CORPUS = Path(__file__).with_name("corpus")
# Dollars per million tokens, in every replay.
PRICES = {
    "input_price": Decimal("2.5"),
    "output_price": Decimal(10),
    "cache_read_price": Decimal("1.25"),
    "cache_write_price": Decimal("3.125"),
}


@dataclass(frozen=True)
class Shape:
    """One answer. `expected` holds: `what` is peculiar to it; `text`, `refusal`, `reasoning`, `calls`; a `signature`
    that must reach the client, the number of `annotations`; `finish`; `tokens` (input, output) and `cached` ones;
    `cost` in dollars, or "hold"; or `fails`, and the `text` before that."""

    provider: str
    name: str
    expected: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.name}"

    @cached_property
    def body(self) -> bytes:
        return (CORPUS / self.provider / self.name).read_bytes()

    @property
    def is_stream(self) -> bool:
        return self.name.endswith(".sse")

    @property
    def fails(self) -> bool:
        return bool(self.expected.get("fails"))

    @property
    def text(self) -> str:
        return str(self.expected.get("text", ""))

    def packets(self) -> list[bytes]:
        """The body as it is sent: a stream event by event."""
        if not self.is_stream:
            return [self.body]
        border = b"\r\n\r\n" if b"\r\n\r\n" in self.body else b"\n\n"
        events = self.body.split(border)
        return [event + border for event in events[:-1]] + ([events[-1]] if events[-1] else [])


def all_shapes() -> list[Shape]:
    return [
        Shape(source.parent.name, name, expected)
        for source in sorted(CORPUS.glob("*/expected.toml"))
        for name, expected in tomllib.loads(source.read_text()).items()
    ]


def sends(packets: Iterable[bytes], *, is_stream: bool) -> Misbehaviour:
    """These bytes, each packet in a chunk of its own."""

    def misbehave(handler: Handler, call: Call) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for packet in filter(None, packets):
            handler.chunk(packet)
        handler.chunk(b"")

    return misbehave


def configured(provider: str, standin: ProviderStandIn) -> dict[str, str]:
    return {f"{provider.upper()}_API_KEY": "key-of-a-test", f"{provider.upper()}_BASE_URL": standin.url(provider)}


def serve_only_by(provider: str, standin: ProviderStandIn, settings: Any) -> None:
    """`gpt-4o` by this provider, and no other to fall back to."""
    # Changed in place: each assignment to `settings` makes every later look-up one step deeper.
    settings.ENVIRONMENT.clear()
    settings.ENVIRONMENT.update(configured(provider, standin))
    if settings.GROQ_BILLING != "paid":
        settings.GROQ_BILLING = "paid"
    registry.forget_connections()
    Route.objects.filter(model_id="gpt-4o").update(provider=provider, upstream="m", list_prices={}, **PRICES)
    forget_catalogue()


def play(shape: Shape, standin: ProviderStandIn, settings: Any) -> None:
    """Every call is answered by this shape."""
    serve_only_by(shape.provider, standin, settings)
    standin[shape.provider].faults = [sends(shape.packets(), is_stream=shape.is_stream)]
