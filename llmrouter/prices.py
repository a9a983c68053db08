"""What a model costs: list prices of genai-prices, what staff override, and the arithmetic over both.

Prices are integers: nano-dollars per million tokens (3 USD per million is 3 000 000 000).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from billing.money import NANO

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one route. `cache_*` apply to the tokens of the input that a provider's prompt cache served or stored; from
    `long_from` input tokens on, the whole call is at the `long` prices."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    long_from: int = 0
    long: "Prices | None" = None

    @property
    def dearest_input(self) -> int:
        """No input token of this route can cost more."""
        here = max(self.input, self.cache_read, self.cache_write)
        return max(here, self.long.dearest_input) if self.long else here

    @property
    def dearest_output(self) -> int:
        return max(self.output, self.long.dearest_output) if self.long else self.output

    def for_input(self, tokens: int) -> "Prices":
        return self.long if self.long and tokens >= self.long_from else self


class Priced(Protocol):
    """A row with list prices and overrides (dollars per million tokens)."""

    list_prices: dict[str, Any]
    input_price: Decimal | None
    output_price: Decimal | None
    cache_read_price: Decimal | None
    cache_write_price: Decimal | None


def prices_of(row: Priced) -> Prices | None:
    """The prices in force; None when one that is needed is missing, and then the route must not run paid."""
    listed = row.list_prices
    input_ = _units(row.input_price, listed.get("input"))
    output = _units(row.output_price, listed.get("output"))
    if input_ is None or output is None:
        return None
    cache_read = _units(row.cache_read_price, listed.get("cache_read"))
    cache_write = _units(row.cache_write_price, listed.get("cache_write"))
    long = listed.get("long")
    overridden = row.input_price is not None or row.output_price is not None
    return Prices(
        input=input_,
        output=output,
        # A provider without a price for its cache charges the input's.
        cache_read=input_ if cache_read is None else cache_read,
        cache_write=input_ if cache_write is None else cache_write,
        # A price that staff set holds at any length.
        long_from=0 if overridden or not long else int(long["from"]),
        long=None if overridden or not long else _long(long, input_, output),
    )


def _long(listed: dict[str, Any], input_: int, output: int) -> Prices:
    dear_input = _units(None, listed.get("input")) or input_
    return Prices(
        input=dear_input,
        output=_units(None, listed.get("output")) or output,
        cache_read=_units(None, listed.get("cache_read")) or dear_input,
        cache_write=_units(None, listed.get("cache_write")) or dear_input,
    )


def _units(override: Decimal | None, listed: str | None) -> int | None:
    price = override if override is not None else Decimal(listed) if listed is not None else None
    return None if price is None else int(price * NANO)


def cost_of(tokens: int, price: int) -> int:
    """Nano-dollars, rounded up."""
    return -(-tokens * price // MILLION)
