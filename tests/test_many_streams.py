"""A hundred streams at once through two workers: every one whole, settled once, and nothing left held.

The provider and the callers are those of the benchmarks: the tests' own stand-in is a thread per call.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from benchmarks import rig
from benchmarks.streams import BODY, DOORS
from billing.models import Tier
from conftest import address_of_the_test_database, key_of, person
from tests.product import Product
from usage import budget
from usage.models import UsageLog

pytestmark = pytest.mark.live

STREAMS = 100
CHUNKS = 20
SECONDS = 2.0


@pytest.fixture(scope="module")
def running_product(django_db_setup: None) -> Iterator[Product]:
    """In place of the one of conftest.py: before a provider that holds a hundred streams."""
    with rig.upstream() as provider:
        provider.set(first=SECONDS / CHUNKS, pace=SECONDS / CHUNKS, chunks=CHUNKS)
        product = Product(
            {
                "POSTGRES_URL": address_of_the_test_database(),
                "OPENROUTER_API_KEY": "sk-or-v1-test",
                "OPENROUTER_BASE_URL": provider.url("openrouter"),
            }
        )
        yield product
        product.stop()


@pytest.mark.parametrize("door", DOORS)
def test_every_one_of_a_hundred_streams_is_whole(product: Product, door: str) -> None:
    Tier.objects.filter(name="enterprise").update(requests_per_minute=10_000)
    people = [person(f"user{number}@example.dz", "enterprise") for number in range(10)]
    # All open at once, begun within a second: on a busy machine a hundred at one instant are told to come again.
    wanted: Any = {"callers": STREAMS, "pieces": CHUNKS, "spread": SECONDS / 2}
    seen = rig.load(url=product.url + DOORS[door], body=BODY, tokens=[key_of(each) for each in people], **wanted)
    assert (seen["all_calls"], seen["kinds"]) == (STREAMS, [])
    product.wait_until_drained()
    rows = UsageLog.objects.filter(user_id__in=[each.pk for each in people])
    assert not rows.exclude(streamed=True, estimated=False, error_flag=False).exists()
    assert rows.count() == STREAMS
    # As the provider billed them, to the nano-dollar; and what was held is free again.
    assert {row.cost_usd for row in rows} == {Decimal("0.00055")}
    assert budget.counters().held == 0
