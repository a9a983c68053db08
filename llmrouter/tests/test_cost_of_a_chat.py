"""What a chat costs in questions: two to Redis, none to PostgreSQL. Counted, not timed.

Redis is asked itself how often a socket of its had something to read: whatever asks, by whichever client and in
whichever database, a cache or a pipeline too, is in that number.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.authentication import forget_callers
from accounts.tokens import issue_tokens
from billing.entitlements import forget_standing
from tests.standins.provider import ProviderStandIn, error

from .talking import Talker, events_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]


@dataclass
class Questions:
    redis: int = 0
    sql: int = 0


@contextmanager
def questions(redis: Any) -> Iterator[Questions]:
    asked = Questions()
    before = redis.info("stats")["total_reads_processed"]
    with CaptureQueriesContext(connection) as queries:
        yield asked
    # The last INFO is a question too, and not theirs.
    asked.redis = redis.info("stats")["total_reads_processed"] - before - 1
    asked.sql = len(queries)


def v2(talker: Talker) -> None:
    assert talker.post().status_code == 200


def v1(talker: Talker) -> None:
    assert talker.complete().status_code == 200


def v2_stream(talker: Talker) -> None:
    assert events_of(talker.post(stream=True))[-1] == "[DONE]"


def v1_stream(talker: Talker) -> None:
    assert events_of(talker.complete(stream=True, stream_options={"include_usage": True}))[-1] == "[DONE]"


Way = Callable[[Talker], None]
WAYS = pytest.mark.parametrize("way", [v2, v1, v2_stream, v1_stream])


@WAYS
def test_two_questions_to_redis_and_none_to_postgresql(pro: Talker, redis: Any, way: Way) -> None:
    way(pro)
    for _ in range(3):
        with questions(redis) as asked:
            way(pro)
        assert asked == Questions(redis=2, sql=0)


@WAYS
def test_with_a_jwt_too(pro: Talker, redis: Any, way: Way) -> None:
    pro.key = issue_tokens(pro.user).access
    way(pro)
    with questions(redis) as asked:
        way(pro)
    assert asked == Questions(redis=2, sql=0)


def test_a_long_stream_costs_no_more(pro: Talker, standin: ProviderStandIn, redis: Any) -> None:
    standin["openrouter"].words = ["mot"] * 500
    v1_stream(pro)
    with questions(redis) as asked:
        v1_stream(pro)
    assert asked == Questions(redis=2, sql=0)


def test_another_customer_costs_as_much(pro: Talker, free: Talker, redis: Any) -> None:
    v2(pro)
    v2(free)
    with questions(redis) as asked:
        v2(free)
    assert asked == Questions(redis=2, sql=0)


def test_a_customer_who_was_away_for_a_while_costs_two_statements(pro: Talker, free: Talker, redis: Any) -> None:
    """Who it is, and what they may: what all have in common (tiers, models) is known."""
    v2(pro)
    v2(free)
    forget_callers()
    forget_standing(free.user.pk)
    with questions(redis) as asked:
        v2(free)
    assert asked == Questions(redis=2, sql=2)


def test_a_refusal_is_one_question(free: Talker, redis: Any) -> None:
    for _ in range(3):
        v2(free)
    with questions(redis) as asked:
        assert free.post().status_code == 429
    assert asked == Questions(redis=1, sql=0)


def test_a_fallback_is_the_price_of_its_attempts(pro: Talker, standin: ProviderStandIn, redis: Any) -> None:
    """Each further attempt has a hold and an end of its own; the breaker hears of the failure, and of nothing else."""
    standin["openrouter"].faults = [error(500)]
    # Once, so that Redis has the scripts.
    v2(pro)
    with questions(redis) as asked:
        v2(pro)
    assert asked == Questions(redis=2 + 2 + 1, sql=0)


def test_the_count_would_notice(pro: Talker, redis: Any) -> None:
    """That it counts: one question more, through a client of another kind, is one more."""
    cache.get("warm")
    v2(pro)
    with questions(redis) as asked:
        v2(pro)
        cache.get("something")
        pro.user.refresh_from_db()
    assert asked == Questions(redis=3, sql=1)
