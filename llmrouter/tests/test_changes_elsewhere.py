"""What another process of the product changed is in force at the next chat: admitted, refused and priced by it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError

from accounts import fresh
from accounts.models import ApiKey
from accounts.tokens import issue_tokens
from billing import entitlements
from tests import elsewhere
from tests.standins.provider import ProviderStandIn
from usage.redis import client

from .talking import Talker, events_of
from .test_cost_of_a_chat import Questions, questions

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

IMAGE = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
]


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_customer_who_paid_is_not_told_that_the_quota_is_used_up(free: Talker) -> None:
    for _ in range(3):
        free.say()
    assert code_of(free.post()) == (429, "quota_exceeded")
    elsewhere.given_tier(free.user.pk, "student")
    assert free.say()["quota"] == {"limit": 200, "remaining": 196, "resets_at": free.say()["quota"]["resets_at"]}


def test_tier_that_was_taken_back_gives_nothing_more(pro: Talker, standin: ProviderStandIn) -> None:
    pro.say()
    elsewhere.changed(pro.user.pk, "UPDATE user_tiers SET expires_at = now() - interval '1 s'")
    answer = pro.say()
    assert (answer["provider"], answer["quota"]["limit"], answer["substitution"]) == ("groq", 3, "tier")


def test_per_minute_limit_follows_the_tier_at_once(free: Talker) -> None:
    for _ in range(3):
        free.say()
    elsewhere.given_tier(free.user.pk, "pro")
    assert free.post().headers["X-RateLimit-Limit"] == "15"


def test_model_that_the_tier_had_not_is_served_at_once(free: Talker) -> None:
    assert free.say(model="gpt-4o")["substitution"] == "tier"
    elsewhere.given_tier(free.user.pk, "pro")
    assert free.say(model="gpt-4o")["provider"] == "openrouter"


def test_stream_is_served_by_the_tier_of_now(free: Talker) -> None:
    free.say()
    elsewhere.given_tier(free.user.pk, "pro")
    assert events_of(free.post(stream=True))[-2]["provider"] == "openrouter"


def test_openai_dialect_is_served_by_the_tier_of_now(free: Talker) -> None:
    free.complete()
    elsewhere.given_tier(free.user.pk, "pro")
    assert free.complete().headers["X-IAF-Provider"] == "openrouter"


def test_refusal_before_admission_is_not_by_the_old_tier(free: Talker) -> None:
    image = [{"role": "user", "content": IMAGE}]
    assert "no model that takes images" in free.complete(messages=image).json()["error"]["message"]
    elsewhere.given_tier(free.user.pk, "pro")
    assert free.complete(messages=image).status_code == 200


def test_revoked_key_is_refused_and_reaches_no_provider(pro: Talker, standin: ProviderStandIn) -> None:
    pro.say()
    calls = len(standin["openrouter"].calls)
    elsewhere.changed(pro.user.pk, "UPDATE api_keys SET revoked_at = now()")
    refused = pro.post()
    assert code_of(refused) == (401, "invalid_credentials")
    assert "X-RateLimit-Limit" not in refused.headers
    assert len(standin["openrouter"].calls) == calls
    assert client().hgetall("budget:holds") == {}


@pytest.mark.parametrize(
    "statement", ["UPDATE users SET is_active = false WHERE id = %s", "UPDATE users SET password = 'x' WHERE id = %s"]
)
def test_token_of_a_closed_account_or_an_old_password_is_refused(pro: Talker, statement: str) -> None:
    pro.key = issue_tokens(pro.user).access
    pro.say()
    elsewhere.changed(pro.user.pk, statement, pro.user.pk)
    assert code_of(pro.post()) == (401, "invalid_credentials")


def test_ban_that_was_lifted_does_not_bite_any_more(pro: Talker) -> None:
    pro.say()
    elsewhere.changed(
        pro.user.pk,
        "INSERT INTO soft_bans (user_id, reason, until) VALUES (%s, 'farming', now() + interval '1 day')",
        pro.user.pk,
    )
    assert code_of(pro.post()) == (403, "banned")
    elsewhere.changed(pro.user.pk, "UPDATE soft_bans SET lifted_at = now()")
    assert pro.post().status_code == 200


def test_tier_that_staff_edited_is_in_force_for_everyone(pro: Talker, free: Talker) -> None:
    pro.say()
    free.say()
    elsewhere.changed(None, "UPDATE tiers SET messages_per_day = 77")
    assert [pro.say()["quota"]["limit"], free.say()["quota"]["limit"]] == [77, 77]


def test_model_that_staff_added_is_found(pro: Talker) -> None:
    assert code_of(pro.post(model="gpt-9")) == (404, "model_not_found")
    elsewhere.changed(None, "UPDATE llm_models SET name = 'gpt-9', title = 'GPT 9' WHERE name = 'grok-2'")
    elsewhere.sql("UPDATE llm_routes SET model_id = 'gpt-9' WHERE model_id = 'grok-2'")
    assert pro.post(model="gpt-9").status_code == 200


def test_model_that_staff_disabled_is_not_served(pro: Talker) -> None:
    pro.say(model="gpt-4o")
    elsewhere.changed(None, "UPDATE llm_models SET enabled = false WHERE name = 'gpt-4o'")
    assert code_of(pro.post(model="gpt-4o")) == (404, "model_not_found")


# What it costs


def test_first_call_after_a_change_asks_redis_once_more_and_the_next_not(pro: Talker, redis: Any) -> None:
    pro.say()
    elsewhere.given_tier(pro.user.pk, "student")
    with questions(redis) as asked:
        pro.say()
    # Who it is, and what they may: not the tiers and the models.
    assert asked == Questions(redis=3, sql=2)
    with questions(redis) as asked:
        pro.say()
    assert asked == Questions(redis=2, sql=0)


def test_change_of_one_customer_costs_another_nothing(pro: Talker, free: Talker, redis: Any) -> None:
    pro.say()
    free.say()
    elsewhere.given_tier(free.user.pk, "student")
    with questions(redis) as asked:
        pro.say()
    assert asked == Questions(redis=2, sql=0)


def test_refusal_from_memory_costs_no_sql(pro: Talker, redis: Any) -> None:
    cache.get("warm")
    pro.say()
    with questions(redis) as asked:
        assert pro.post(model="gpt-9").status_code == 404
    # A look whether something changed, and where the caller stands.
    assert asked == Questions(redis=2, sql=0)


# Faults


def test_token_that_ran_out_is_no_change(pro: Talker, redis: Any) -> None:
    elsewhere.announced(pro.user.pk)
    pro.say()
    redis.delete(f"budget:changes:{pro.user.pk}", "budget:changes:everyone")
    with questions(redis) as asked:
        pro.say()
    assert asked == Questions(redis=2, sql=0)


def test_redis_that_lost_the_token_is_not_trusted_with_what_is_remembered(pro: Talker, redis: Any) -> None:
    """The announcement went with the data: after the recovery every process loads again what it remembers."""
    pro.say()
    elsewhere.given_tier(pro.user.pk, "student")
    redis.flushdb()
    assert pro.say()["quota"]["limit"] == 200


@pytest.fixture
def without_postgresql(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def take_away() -> None:
        def refused(_key: Any) -> Any:
            raise OperationalError("refused")

        monkeypatch.setattr(fresh, "_store", fresh._Store())
        monkeypatch.setattr(fresh, "FRESH_SECONDS", 0)
        monkeypatch.setattr(entitlements._standings, "_load", refused)

    return take_away


def test_customer_is_served_from_memory_while_postgresql_is_away(
    pro: Talker, without_postgresql: Callable[[], None]
) -> None:
    pro.say()
    without_postgresql()
    assert pro.say()["quota"]["limit"] == 400


def test_what_is_known_to_have_changed_is_not_served_from_memory(
    pro: Talker, without_postgresql: Callable[[], None]
) -> None:
    pro.say()
    without_postgresql()
    elsewhere.announced(pro.user.pk)
    assert code_of(pro.post()) == (503, "unavailable")


def test_change_for_everyone_does_not_stop_the_service_while_postgresql_is_away(
    pro: Talker, without_postgresql: Callable[[], None]
) -> None:
    pro.say()
    without_postgresql()
    elsewhere.announced(None)
    assert pro.say()["quota"]["limit"] == 400


def test_use_of_a_key_is_no_change(pro: Talker, redis: Any) -> None:
    pro.say()
    assert ApiKey.objects.get().last_used_at is not None
    assert redis.get(f"budget:changes:{pro.user.pk}") is None
