"""What staff set per model and route, in the admin's pages."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from llmrouter.catalogue import forget_catalogue
from llmrouter.models import Model, Route
from tests.standins.provider import ProviderStandIn

from .talking import Talker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]


@pytest.fixture
def staff(sara: User) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(sara)
    return client


def form(**fields: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("serves", "timeout_seconds", "input_price", "output_price", "max_input_price"), "")
    knobs = {"model": "gpt-4o", "provider": "openrouter", "lane": "good", "position": 0, "weight": 1, "enabled": "on"}
    return {**empty, **knobs, **fields}


def test_every_knob_of_a_route_works_from_its_page(staff: Client, pro: Talker, standin: ProviderStandIn) -> None:
    route = Route.objects.get(model_id="gpt-4o")
    page = f"/admin/llmrouter/route/{route.pk}/change/"
    knobs = {"upstream": "openai/gpt-4o-2", "position": 3, "weight": 5, "timeout_seconds": 7}
    prices = {"input_price": "4", "output_price": "8", "max_input_price": "5", "max_output_price": "9"}
    assert staff.post(page, form(**knobs, **prices)).status_code == 302
    route.refresh_from_db()
    assert {name: getattr(route, name) for name in knobs} == knobs
    assert {name: str(getattr(route, name)) for name in prices} == {name: f"{v}.000000" for name, v in prices.items()}
    forget_catalogue()
    pro.say()
    (call,) = standin["openrouter"].calls
    assert call.model == "openai/gpt-4o-2"
    assert call.body["provider"]["max_price"]["prompt"] == 4


def test_the_provider_is_chosen_from_the_registry(staff: Client) -> None:
    page = staff.get("/admin/llmrouter/route/add/").content.decode()
    assert '<option value="mistral">' in page
    assert '<option value="demo">' not in page
    refused = staff.post("/admin/llmrouter/route/add/", form(provider="nobody", upstream="x"))
    assert "There is no provider" in refused.content.decode()


def test_whoever_adds_a_route_without_a_price_is_told_that_it_does_not_run(staff: Client) -> None:
    added = staff.post("/admin/llmrouter/route/add/", form(upstream="openai/unheard"), follow=True)
    assert "is not used: no price" in added.content.decode()
    Model.objects.filter(name="gpt-4o").update(enabled=False)
    assert "disabled" in staff.get("/admin/llmrouter/route/?q=gpt-4o").content.decode()


def test_another_model_upstream_does_not_keep_the_old_ones_price(staff: Client) -> None:
    route = Route.objects.get(model_id="gpt-4o")
    staff.post(f"/admin/llmrouter/route/{route.pk}/change/", form(upstream="openai/gpt-4o", weight=2))
    route.refresh_from_db()
    assert route.list_prices["input"] == "2.5"
    staff.post(f"/admin/llmrouter/route/{route.pk}/change/", form(upstream="openai/gpt-5.6-terra"))
    route.refresh_from_db()
    assert route.list_prices == {}


def test_a_route_above_its_highest_price_says_so(staff: Client) -> None:
    Route.objects.filter(model_id="gpt-4o").update(max_input_price=Decimal(1))
    listed = staff.get("/admin/llmrouter/route/?q=gpt-4o").content.decode()
    assert "dearer than its highest price" in listed
    assert "2.5 / 10" in listed


def test_a_models_tiers_are_ticked(staff: Client, pro: Talker) -> None:
    page = "/admin/llmrouter/model/gpt-4o/change/"
    assert 'type="checkbox"' in staff.get(page).content.decode()
    route = Route.objects.get(model_id="gpt-4o")
    model = {"name": "gpt-4o", "title": "x", "vendor": "x", "min_tier": "student", "context_window": 9, "position": 0}
    more = {"max_output_tokens": 9, "default_output_tokens": 9, "enabled": "on", "only_tiers": ["enterprise"]}
    inline = {"TOTAL_FORMS": 1, "INITIAL_FORMS": 1, "0-id": route.pk, "0-model": "gpt-4o"}
    inline |= {f"0-{name}": value for name, value in form(upstream="openai/gpt-4o").items()}
    sent = {**model, **more, **{f"routes-{name}": value for name, value in inline.items()}}
    response = staff.post(page, sent)
    assert response.status_code == 302, response.content.decode()
    forget_catalogue()
    assert pro.say()["substitution"] == "tier"
