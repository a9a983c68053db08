"""The OpenAPI schema is valid, and the running server keeps to it, also under input that nobody meant."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS

from conftest import key_of, person
from tests.product import Product

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

# What of its promises is checked on every answer.
KEPT = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
# Refused logins and sign-ups without end are what these are for; their own tests are elsewhere.
SLOW = ("/api/auth/register", "/api/auth/login")


@pytest.fixture
def api(product: Product) -> Any:
    return schemathesis.openapi.from_url(f"{product.url}/api/schema").exclude(path=list(SLOW))


@pytest.fixture
def key(product: Product) -> str:
    return key_of(person("alice@example.dz", "enterprise"))


def test_the_server_keeps_to_its_schema(api: Any, key: str) -> None:
    operations = [result.ok() for result in api.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:
        check(operation, key)


def check(operation: Any, key: str) -> None:
    """Calls as the schema allows them, and the answers as it promises them."""

    @given(case=operation.as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    def keeps_its_word(case: Any) -> None:
        response = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=30)
        kept = [name for name in KEPT if name != "not_a_server_error" or not says_payments_are_off(response)]
        case.validate_response(response, checks=CHECKS.get_by_names(kept))

    keeps_its_word()


def says_payments_are_off(response: Any) -> bool:
    """This product has no key of Chargily: its payment calls answer 503, as they should."""
    return bool(response.status_code == 503 and response.json()["error"]["code"] == "payments_not_configured")
