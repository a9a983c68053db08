"""List prices from genai-prices. Imported by commands only: it costs 30 MB and half a second."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices

UNITS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}


def list_prices(provider_id: str, upstream: str) -> dict[str, Any] | None:
    """Dollars per million tokens, as decimal text, by kind of token; None where genai-prices knows no such model.

    Where a price depends on the input's length the dearest of the steps is given under `long`, from the first step on:
    a bound, and right for the two-step prices that there are.
    """
    try:
        _provider, model = get_snapshot().find_provider_model(upstream, None, provider_id, None)
    except LookupError:
        return None
    price = model.get_prices(datetime.now(UTC))
    found: dict[str, Any] = {}
    long: dict[str, Any] = {}
    for unit, attribute in UNITS.items():
        value = getattr(price, attribute, None)
        if isinstance(value, TieredPrices):
            found[unit] = str(value.base)
            long[unit] = str(max([value.base, *(tier.price for tier in value.tiers)]))
            long["from"] = min([tier.start for tier in value.tiers] + [long.get("from", 10**9)])
        elif isinstance(value, Decimal):
            found[unit] = str(value)
    if long:
        found["long"] = {**{unit: found[unit] for unit in UNITS if unit in found}, **long}
    return found if "input" in found and "output" in found else None
