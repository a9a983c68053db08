"""What operators type: what it says, and what it does."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from llmrouter.models import Route
from tests.standins.provider import ProviderStandIn
from usage import budget
from usage.models import BudgetReset
from usage.process import this_process

pytestmark = pytest.mark.django_db


def run(*command: str, **options: Any) -> str:
    output = StringIO()
    call_command(*command, stdout=output, **options)
    return output.getvalue()


def test_reset_budget(redis: Any) -> None:
    budget.counters()
    redis.set("budget:today:usd", "12.5")
    assert "12.500000 USD would become 0" in run("reset_budget", "--dry-run")
    assert not BudgetReset.objects.exists()
    said = run("reset_budget", "--by", "sara")
    assert "12.500000 USD before, 0.000000 USD after" in said
    assert BudgetReset.objects.get().by == "sara"
    assert redis.get("budget:today:usd") == "0.000000000"


def test_try_chat(standin: ProviderStandIn, alice: User) -> None:
    said = run("try_chat", "Bonjour", user=alice.email)
    assert "Bonjour, je suis là." in said
    assert "openrouter/gpt-4o" in said
    this_process.forget()


def test_try_chat_says_what_is_wrong(standin: ProviderStandIn, alice: User) -> None:
    with pytest.raises(CommandError, match="no such account"):
        run("try_chat", "Bonjour", user="nobody@example.dz")
    with pytest.raises(CommandError, match="UnknownModel"):
        run("try_chat", "Bonjour", user=alice.email, model="gpt-99")


def test_load_models_names_what_is_wrong() -> None:
    assert run("load_models", "--check").startswith("0 troubles")
    Route.objects.filter(model_id="gpt-4o").update(upstream="openai/never-heard-of")
    Route.objects.filter(model_id="gpt-oss-20b").update(upstream="llama-3.3-70b-versatile")
    said = run("load_models", "--check")
    assert "no price: gpt-4o → openrouter/openai/never-heard-of" in said
    assert "retired: gpt-oss-20b → groq/llama-3.3-70b-versatile, since 2026-08-16" in said


def test_drain_usage_once(alice: User) -> None:
    assert run("drain_usage", "--once") == "Moved 0 rows.\n"
