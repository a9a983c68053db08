"""What a model costs: list prices of genai-prices, what staff override, and the arithmetic over both.

Prices are integers: nano-dollars per million tokens (3 USD per million is 3 000 000 000).
"""

from dataclasses import dataclass, replace
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
    overrides = {
        "input": row.input_price,
        "output": row.output_price,
        "cache_read": row.cache_read_price,
        "cache_write": row.cache_write_price,
    }
    base = _units(row.list_prices, overrides)
    if base["input"] is None or base["output"] is None:
        return None
    step = row.list_prices.get("long")
    if not step:
        return _prices(base)
    # A price that staff set holds at any length; the others rise where the list says so.
    long = {unit: dear if dear is not None else base[unit] for unit, dear in _units(step, overrides).items()}
    return replace(_prices(base), long_from=int(step["from"]), long=_prices(long))


def _units(listed: dict[str, Any], overrides: dict[str, Decimal | None]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for unit, override in overrides.items():
        price = override if override is not None else Decimal(listed[unit]) if unit in listed else None
        found[unit] = None if price is None else int(price * NANO)
    return found


def _prices(units: dict[str, int | None]) -> Prices:
    input_, output = units["input"] or 0, units["output"] or 0
    cache_read, cache_write = units["cache_read"], units["cache_write"]
    return Prices(
        input=input_,
        output=output,
        # A provider without a price for its cache charges the input's.
        cache_read=input_ if cache_read is None else cache_read,
        cache_write=input_ if cache_write is None else cache_write,
    )


def cost_of(tokens: int, price: int) -> int:
    """Nano-dollars, rounded up."""
    return -(-tokens * price // MILLION)
