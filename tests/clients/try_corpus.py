"""Clients read every answer of the corpus (`llmrouter/tests/corpus`) from the running product: the openai SDK and an
EventSource in Node, `curl | jq`, and `requests`. `make clients`."""

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from billing.models import Tier
from conftest import address_of_the_test_database, key_of, person
from llmrouter.models import Model, Route
from llmrouter.providers.registry import PROVIDERS
from llmrouter.tests.shapes import PRICES, Shape, all_shapes, configured, sends
from tests.product import Product
from tests.standins.provider import Call, Handler, ProviderStandIn

from .try_clients import node_with, run

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
SHAPES = {shape.id: shape for shape in all_shapes() if not shape.fails}
ASKED = {"messages": [{"role": "user", "content": "Bonjour. " * 250}], "max_tokens": 300}


@pytest.fixture(scope="module")
def running_product(django_db_setup: None, standin_server: ProviderStandIn) -> Iterator[Product]:
    """With every provider configured."""
    environment = {"POSTGRES_URL": address_of_the_test_database(), "USAGE_TICK_SECONDS": "0.1", "GROQ_BILLING": "paid"}
    for provider in set(PROVIDERS) - {"demo"}:
        environment |= configured(provider, standin_server)
    product = Product(environment)
    yield product
    product.stop()


@pytest.fixture
def ours(product: Product, standin_server: ProviderStandIn) -> dict[str, str]:
    """Each shape is the one answer of a model by its name."""
    Tier.objects.filter(name="pro").update(
        requests_per_minute=10**6, messages_per_day=10**6, user_daily_budget_usd=Decimal(100)
    )
    tokens = {"context_window": 128_000, "max_output_tokens": 4096, "default_output_tokens": 300}
    for shape in SHAPES.values():
        model = Model.objects.create(name=shape.id, title=shape.id, vendor=shape.provider, **tokens)
        Route.objects.create(model=model, provider=shape.provider, upstream=shape.id, **PRICES)
        standin_server[shape.provider].faults = [by_model]
    return {"BASE_URL": f"{product.url}/v1", "API_KEY": key_of(person("alice@example.dz", "pro"))}


def by_model(handler: Handler, call: Call) -> None:
    shape = SHAPES[call.model]
    sends(shape.packets(), is_stream=shape.is_stream)(handler, call)


def expected_of(shape: Shape) -> dict[str, Any]:
    return {"text": shape.text, "calls": shape.expected.get("calls", []), "finish": shape.expected["finish"]}


def test_node_reads_every_answer(ours: dict[str, str]) -> None:
    """By OpenAI's SDK, whole and added up from a stream, and by an EventSource."""
    folder = node_with("openai", "eventsource")
    program = folder / "read_corpus.mjs"
    program.write_text((HERE / "read_corpus.mjs").read_text())
    seen = json.loads(run(["node", program], {**ours, "MODELS": json.dumps(list(SHAPES))}))
    for shape in SHAPES.values():
        expected = expected_of(shape)
        assert seen[shape.id] == {"whole": expected, "streamed": expected, "events": shape.text}, shape.id


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq")
def test_curl_and_jq_read_every_answer(ours: dict[str, str]) -> None:
    query = '.choices[0] | [.message.content // "", .finish_reason] | @json'
    command = 'curl -sS "$BASE_URL/chat/completions" -H "Authorization: Bearer $API_KEY" -d "$BODY" | jq -er "$QUERY"'
    for shape in SHAPES.values():
        body = json.dumps({"model": shape.id, **ASKED})
        printed = run(["bash", "-o", "pipefail", "-c", command], {**ours, "BODY": body, "QUERY": query})
        assert json.loads(printed) == [shape.text, shape.expected["finish"]], shape.id


def test_requests_read_every_answer_by_lines(ours: dict[str, str]) -> None:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {ours['API_KEY']}"
    for shape in SHAPES.values():
        body = {"model": shape.id, "stream": True, **ASKED}
        with session.post(f"{ours['BASE_URL']}/chat/completions", json=body, stream=True, timeout=60) as answer:
            lines = [line[6:] for line in answer.iter_lines(decode_unicode=True) if line.startswith("data: {")]
        deltas = [choice["delta"] for line in lines for choice in json.loads(line)["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == shape.text, shape.id
