"""The ceiling is a bound: whatever a provider can bill for a call at its prices, it is not more."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.catalogue import Route
from llmrouter.prices import Prices, cost_of, prices_of
from llmrouter.pricing import input_bound, list_cost, offer_of
from llmrouter.providers.registry import PROVIDERS, Connection
from llmrouter.types import Chat, Tokens


class Row:
    """A route's prices, as the table has them."""

    def __init__(self, list_prices: dict[str, object], **overrides: Decimal) -> None:
        self.list_prices = list_prices
        self.input_price = overrides.get("input")
        self.output_price = overrides.get("output")
        self.cache_read_price = overrides.get("cache_read")
        self.cache_write_price = overrides.get("cache_write")


LISTED: dict[str, object] = {
    "input": "1",
    "output": "5",
    "cache_read": "0.1",
    "cache_write": "1.25",
    "long": {"from": 100_000, "input": "2", "output": "7.5", "cache_read": "0.2", "cache_write": "2.5"},
}


def route(prices: Prices | None, *, free: bool = False) -> Route:
    connection = Connection(PROVIDERS["openrouter"], "http://x", (), free)
    return Route(connection, "m", "m", True, free, prices, 0, 1, None, 1_000_000, 100_000, 2000, thinks_unseen=False)


def chat(input_bytes: int, *, images: int = 0, tools: bool = False) -> Chat:
    parameters: dict[str, list[str]] = {"tools": []} if tools else {}
    return Chat("m", [{}], None, parameters, input_bytes=input_bytes, images=images)


unit = st.integers(0, 100_000_000_000)
prices = st.builds(
    Prices,
    input=unit,
    output=unit,
    cache_read=unit,
    cache_write=unit,
    long_from=st.integers(1, 200_000),
    long=st.none() | st.builds(Prices, input=unit, output=unit, cache_read=unit, cache_write=unit),
)


@given(
    prices=prices,
    input_bytes=st.integers(0, 1_000_000),
    max_tokens=st.integers(1, 100_000),
    images=st.integers(0, 5),
    tools=st.booleans(),
    data=st.data(),
)
def test_no_bill_is_above_the_ceiling(
    prices: Prices, input_bytes: int, max_tokens: int, images: int, tools: bool, data: st.DataObject
) -> None:
    asked = chat(input_bytes, images=images, tools=tools)
    offer = offer_of(route(prices), asked, max_tokens)
    used = data.draw(st.integers(0, input_bound(asked, 2000)))
    cached = data.draw(st.integers(0, used))
    written = data.draw(st.integers(0, used - cached))
    tokens = Tokens(used, data.draw(st.integers(0, offer.max_tokens)), cached, written)
    assert list_cost(route(prices), tokens) <= offer.ceiling
    assert offer.ceiling <= offer.input + cost_of(offer.max_tokens, offer.output)


def test_each_token_is_priced_once() -> None:
    found = prices_of(Row(LISTED))
    tokens = Tokens(input=1000, output=100, cached=600, cache_written=100, reasoning=80)
    # 300 plain, 600 from the cache, 100 into it; the reasoning is in the 100 of output.
    assert list_cost(route(found), tokens) == 300 * 1000 + 600 * 100 + 100 * 1250 + 100 * 5000


def test_a_long_input_is_dear_from_its_first_token() -> None:
    found = prices_of(Row(LISTED))
    assert list_cost(route(found), Tokens(99_999, 0)) == 99_999 * 1000
    assert list_cost(route(found), Tokens(100_000, 0)) == 100_000 * 2000


def test_an_override_of_one_price_leaves_the_others() -> None:
    found = prices_of(Row(LISTED, output=Decimal(9)))
    assert found is not None
    assert (found.output, found.dearest_output) == (9_000_000_000, 9_000_000_000)
    assert (found.input, found.dearest_input) == (1_000_000_000, 2_500_000_000)


@pytest.mark.parametrize("listed", [{}, {"input": "1"}, {"output": "1"}])
def test_without_a_price_there_are_none(listed: dict[str, object]) -> None:
    assert prices_of(Row(listed)) is None


def test_a_free_route_costs_nothing() -> None:
    assert offer_of(route(None, free=True), chat(1000), 500).ceiling == 0


def test_a_ceiling_is_rounded_up() -> None:
    assert cost_of(1, 1) == 1
    assert cost_of(1, 37_500_000) == 38
