"""Whatever may be signed: the answer is defined, nothing unpaid is granted, nothing unknown is stored."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from billing.models import Invoice, PaymentTransaction, WebhookEvent
from billing.webhooks import CHECKOUT_FIELDS, EVENT_FIELDS

pytestmark = pytest.mark.django_db

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([*EVENT_FIELDS, "data", "account", "x\x00y"])
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@fuzz
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | values.map(json.dumps).map(str.encode))
def test_any_body(webhooks: Any, body: bytes) -> None:
    assert webhooks.send(body).status_code in (200, 400)


@fuzz
@given(
    changes=st.dictionaries(fields, values, max_size=4),
    of_data=st.dictionaries(st.sampled_from([*CHECKOUT_FIELDS, "account", "metadata"]), values, max_size=4),
)
def test_any_event(charlie: User, begin: Any, webhooks: Any, changes: dict[str, Any], of_data: dict[str, Any]) -> None:
    payment = PaymentTransaction.objects.first() or begin(charlie)
    event = json.loads(webhooks.event(payment))
    event["data"] |= of_data
    body = json.dumps({**event, **changes}).encode()
    assert webhooks.send(body).status_code in (200, 400)
    assert not Invoice.objects.exists()
    for row in WebhookEvent.objects.all():
        assert set(row.payload) <= {*EVENT_FIELDS, "data"}
        assert set(row.payload["data"]) <= set(CHECKOUT_FIELDS)


@fuzz
@given(signature=st.text(st.characters(codec="latin-1"), max_size=100))
def test_any_signature(charlie: User, begin: Any, webhooks: Any, signature: str) -> None:
    payment = PaymentTransaction.objects.first() or begin(charlie)
    assert webhooks.send(webhooks.event(payment), signature).status_code == 401
    assert not WebhookEvent.objects.exists()
