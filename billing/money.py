"""Units of money: dollars are Decimal in Python, nano-dollars (10⁻⁹ USD, whole) where they are counted."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

NANO = 10**9


def nano_ceiling(usd: Decimal) -> int:
    """Dollars to whole nano-dollars, rounded up: a ceiling stays a ceiling."""
    return int((usd * NANO).to_integral_value(rounding=ROUND_CEILING))


def nano_nearest(usd: Decimal) -> int:
    """Dollars to whole nano-dollars, to the nearest: what was billed."""
    return int((usd * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def dollars(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9)
