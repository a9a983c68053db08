"""What docs/alerts.md and docs/keys.md promise."""

import re
import time
from typing import Any

import pytest

from iafactory.alerts.channels.webhook import signature
from iafactory.alerts.rules import RULES
from iafactory.run import BASE
from llmrouter.providers.registry import PROVIDERS

ALERTS = (BASE / "docs" / "alerts.md").read_text()
KEYS = (BASE / "docs" / "keys.md").read_text()


def test_every_rule_is_told_of() -> None:
    assert re.findall(r"^\| `(\w+)` \|", ALERTS, re.MULTILINE) == [rule.name for rule in RULES]


@pytest.mark.parametrize("secret", ["plain secret of some length", "whsec_" + "c2VjcmV0" * 4])
def test_the_sample_verifies_our_signature(secret: str) -> None:
    (sample,) = re.findall(r"```python\n(.*?)```", ALERTS, re.DOTALL)
    names: dict[str, Any] = {}
    exec(sample, names)
    at, body = int(time.time()), b'{"type":"alert.raised"}'
    headers = {
        "webhook-id": "alert_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signature(secret, "alert_1", at, body),
    }
    assert names["is_ours"](headers, body, secret)
    assert not names["is_ours"](headers, body + b" ", secret)
    assert not names["is_ours"](
        headers, body, secret + "x" if secret.startswith("plain") else "whsec_" + "c2VjcmV1" * 4
    )
    old = str(at - 301)
    replayed = headers | {"webhook-timestamp": old, "webhook-signature": signature(secret, "alert_1", int(old), body)}
    assert not names["is_ours"](replayed, body, secret)


def test_every_key_can_be_replaced() -> None:
    for provider in PROVIDERS.values():
        if provider.dialect != "demo":
            variable = f"{provider.name.upper()}_BASE_URL" if provider.keyless else provider.variable
            where = "your own server" if provider.keyless else provider.console
            assert f"| `{variable}` | {where} |" in KEYS
    for name in ("CHARGILY_SECRET_KEY", "API_SECRET_KEY", "API_KEY_PEPPER"):
        assert f"| `{name}` |" in KEYS
