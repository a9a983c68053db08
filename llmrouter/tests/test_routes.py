"""What staff can set per route and model: order, weight, time-out, prices and their limits, tiers."""

from collections import Counter
from decimal import Decimal

import pytest

from billing.models import Tier
from llmrouter.catalogue import forget_catalogue
from llmrouter.models import Model, Route
from tests.standins.provider import ProviderStandIn, error

from .talking import Talker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]


def second_route(**columns: object) -> Route:
    forget_catalogue()
    return Route.objects.create(model_id="gpt-4o", provider="openrouter", upstream="openai/gpt-4o-other", **columns)


def priced(**columns: object) -> dict[str, object]:
    return {"input_price": Decimal(1), "output_price": Decimal(2), **columns}


def test_the_next_route_of_the_model_is_tried_before_a_stand_in(pro: Talker, standin: ProviderStandIn) -> None:
    second_route(**priced(position=1))
    standin["openrouter"].faults = [error(500), None]
    answer = pro.say()
    assert (answer["model"], answer["fallback"], answer["substitution"]) == ("gpt-4o", False, None)
    assert [call.model for call in standin["openrouter"].calls] == ["openai/gpt-4o", "openai/gpt-4o-other"]


def test_the_order_is_staffs(pro: Talker, standin: ProviderStandIn) -> None:
    Route.objects.filter(model_id="gpt-4o").update(position=5)
    second_route(**priced(position=1))
    pro.say()
    assert standin["openrouter"].calls[0].model == "openai/gpt-4o-other"


def test_equals_share_by_weight(pro: Talker, standin: ProviderStandIn) -> None:
    Tier.objects.filter(name="pro").update(requests_per_minute=1000)
    second_route(**priced(weight=9))
    for _ in range(100):
        pro.say()
    counted = Counter(call.model for call in standin["openrouter"].calls)
    # 90 of 100 expected; fewer than 70 or more than 99 comes once in some ten thousand runs.
    assert 70 <= counted["openai/gpt-4o-other"] <= 99


def test_a_route_that_got_too_dear_is_not_used(pro: Talker, standin: ProviderStandIn) -> None:
    Route.objects.filter(model_id="gpt-4o").update(max_input_price=Decimal("2.4"))
    forget_catalogue()
    answer = pro.say()
    assert (answer["provider"], answer["fallback"]) == ("groq", True)
    assert standin["openrouter"].calls == []


def test_a_route_without_a_price_is_not_used(pro: Talker, standin: ProviderStandIn) -> None:
    Route.objects.filter(model_id="gpt-4o").update(list_prices={})
    forget_catalogue()
    assert pro.say()["provider"] == "groq"


def test_an_overridden_price_is_what_is_settled_where_the_provider_tells_none(
    pro: Talker, standin: ProviderStandIn, settings: object
) -> None:
    Route.objects.filter(model_id="gpt-4o").update(input_price=Decimal(100), output_price=Decimal(200))
    forget_catalogue()
    usage = {"prompt_tokens": 1000, "completion_tokens": 10}
    body = {"choices": [{"message": {"role": "assistant", "content": "x"}}], "usage": usage}
    standin["openrouter"].faults = [error(200, body)]
    assert pro.say()["cost"] == pytest.approx(0.102)


def test_a_disabled_route_and_a_disabled_model(pro: Talker) -> None:
    Route.objects.filter(model_id="gpt-4o").update(enabled=False)
    Model.objects.filter(name="grok-2").update(enabled=False)
    forget_catalogue()
    assert pro.say()["provider"] == "groq"
    assert pro.post(model="grok-2").status_code == 404


def test_a_model_for_named_tiers_only(pro: Talker, free: Talker) -> None:
    Model.objects.get(name="gpt-4o").only_tiers.set([Tier.objects.get(name="free")])
    forget_catalogue()
    listed = {model["id"]: model["locked"] for model in pro.get("/api/v2/models").json()["models"]}
    assert listed["gpt-4o"]
    assert pro.say()["substitution"] == "tier"


def test_the_list_of_models(pro: Talker, free: Talker) -> None:
    body = free.get("/api/v2/models").json()
    assert body["tier"] == "free"
    listed = {model["id"]: model for model in body["models"]}
    assert {"claude-sonnet-4", "gpt-4o", "grok-2", "gpt-oss-120b", "gpt-oss-20b", "llama-3.3"} <= set(listed)
    assert (listed["gpt-4o"]["locked"], listed["gpt-4o"]["min_tier"], listed["gpt-4o"]["available"]) == (
        True,
        "student",
        True,
    )
    assert listed["gpt-4o"]["price"] == {"input": 2.5, "output": 10}
    assert not listed["gpt-oss-20b"]["locked"]
    assert not [model for model in pro.get("/api/v2/models").json()["models"] if model["locked"]]
