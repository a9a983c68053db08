"""The OpenAPI schema is valid and whole, and the running server keeps to it, also under input that nobody meant."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.urls import URLPattern, URLResolver, get_resolver
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS

from accounts.tokens import issue_tokens
from conftest import person
from tests.product import Product

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

# What of its promises is checked on every answer.
KEPT = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
# Refused logins and sign-ups without end are what these are for; their own tests are elsewhere.
SLOW = ("/api/auth/register", "/api/auth/login")
# JSON for programs lies under these; of that, these are about the schema itself, or pages.
API = ("api/", "v1/", "payment/", "admin/")
NO_API = {
    "api/schema",
    "api/docs",
    "payment/success",
    "payment/failure",
    "admin/",
    "admin/login/",
    "admin/second-factor",
    "admin/dashboard/ban",
    "admin/dashboard/lift",
}
# What noise alone cannot get done: it takes an id that exists, a token, a signature, or a configured Chargily.
BEYOND_NOISE = {
    "DELETE /api/auth/keys/{key_id}",
    "POST /api/auth/logout",
    "POST /api/auth/refresh",
    "GET /v1/models/{name}",
    "GET /payment/checkouts/{checkout_id}",
    "GET /payment/quote/{tier}",
    "POST /payment/subscribe/{tier}",
    "POST /payment/subscription/cancel",
    "POST /payment/webhook/chargily",
    "POST /admin/users/{user_id}/soft-ban",
    "DELETE /admin/users/{user_id}/soft-ban",
}


@pytest.fixture
def api(product: Product) -> Any:
    return schemathesis.openapi.from_url(f"{product.url}/api/schema").exclude(path=list(SLOW))


@pytest.fixture
def keys(product: Product) -> dict[str, str]:
    """Who calls what lies where: Alice, and Sara under /admin. By JWT: an API key opens neither keys nor staff's."""
    alice, sara = person("alice@example.dz", "enterprise"), person("sara@example.dz", is_staff=True)
    return {"": issue_tokens(alice).access, "/admin": issue_tokens(sara).access}


def test_the_server_keeps_to_its_schema(api: Any, keys: dict[str, str]) -> None:
    operations = [result.ok() for result in api.get_all_operations()]
    answered: dict[str, set[int]] = defaultdict(set)
    for operation in operations:
        key = keys["/admin" if operation.path.startswith("/admin") else ""]
        check(operation, key, answered[operation.label])
    # Noise that is refused at the door would prove little: each is got through to, but for those that cannot be.
    refused = {label for label, statuses in answered.items() if not any(200 <= status < 300 for status in statuses)}
    assert refused <= BEYOND_NOISE, {label: answered[label] for label in refused - BEYOND_NOISE}


def test_every_route_of_the_api_is_in_the_schema(api: Any) -> None:
    described = {result.ok().path for result in api.get_all_operations()} | set(SLOW)
    routes = {route for route in routes_of(get_resolver()) if route.startswith(API)} - NO_API
    assert described == {"/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in routes}


def routes_of(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLPattern):
            yield route
        elif each.app_name != "admin":
            yield from routes_of(each, route)


def check(operation: Any, key: str, answered: set[int]) -> None:
    """Calls as the schema allows them, and the answers as it promises them."""

    @given(case=operation.as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    def keeps_its_word(case: Any) -> None:
        response = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=30)
        answered.add(response.status_code)
        kept = [name for name in KEPT if name != "not_a_server_error" or not says_payments_are_off(response)]
        case.validate_response(response, checks=CHECKS.get_by_names(kept))

    keeps_its_word()


def says_payments_are_off(response: Any) -> bool:
    """This product has no key of Chargily: its payment calls answer 503, as they should."""
    return bool(response.status_code == 503 and response.json()["error"]["code"] == "payments_not_configured")
