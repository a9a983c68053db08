"""Tiers: loaded once, edited by staff, and the guide's own SQL."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import User
from billing.entitlements import entitlements_for, forget_standings
from billing.models import Tier, UserTier

pytestmark = pytest.mark.django_db


def run(*command: str) -> str:
    output = StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()


def test_the_contracts_tiers() -> None:
    found = {
        tier.name: (
            tier.price_dzd,
            tier.messages_per_day,
            tier.requests_per_minute,
            tier.groq_percent,
            None if tier.user_daily_budget_usd is None else str(tier.user_daily_budget_usd),
        )
        for tier in Tier.objects.all()
    }
    assert found == {
        "free": (0, 3, 5, 100, "0.0000"),
        "student": (1590, 200, 10, 85, "0.3000"),
        "pro": (2590, 400, 15, 0, "1.0000"),
        "enterprise": (None, 10000, 120, 0, None),
    }


def test_loading_again_keeps_what_staff_changed() -> None:
    Tier.objects.filter(name="pro").update(price_dzd=3000)
    assert run("load_tiers") == "Tiers: 0 added, 4 left as they are.\n"
    assert Tier.objects.get(name="pro").price_dzd == 3000
    run("load_tiers", "--reset")
    assert Tier.objects.get(name="pro").price_dzd == 2590


def test_the_guides_sql_runs_unchanged(alice: User) -> None:
    UserTier.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO user_tiers (user_id, tier, subscribed_at, expires_at) VALUES ({alice.pk},'free',NULL,NULL) "
            "ON CONFLICT (user_id) DO NOTHING"
        )
        cursor.execute(
            "INSERT INTO llm_usage_logs (user_id, provider, model, tokens_input, tokens_output, cost_usd) "
            "VALUES (1,'groq','llama-3.3-70b',100,800,0.0)"
        )
        cursor.execute(
            "SELECT provider, sum(cost_usd) FROM llm_usage_logs WHERE created_at > now() - interval '1 hour' "
            "GROUP BY provider"
        )
        assert cursor.fetchall() == [("groq", 0)]
        cursor.execute(
            "SELECT user_id, sum(cost_usd) AS cost FROM llm_usage_logs WHERE created_at >= CURRENT_DATE "
            "GROUP BY user_id ORDER BY cost DESC LIMIT 10"
        )
        assert cursor.fetchall() == [(1, 0)]
    assert entitlements_for(alice.pk).tier == "free"


def test_a_tier_without_an_end_has_none(alice: User) -> None:
    UserTier.objects.filter(user=alice).update(tier_id="enterprise", expires_at=None)
    forget_standings()
    assert entitlements_for(alice.pk).user_daily_budget is None
    assert entitlements_for(alice.pk).tier == "enterprise"
