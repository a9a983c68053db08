"""A command that Redis refuses concerns the call that needed it, and is no outage for others."""

from typing import Any

import pytest

from usage.admission import admit
from usage.errors import RedisAway
from usage.redis import client, line, reaching_redis

from .calls import ask, spend

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("key", ["ratelimit:1", "budget:changes:1"])
def test_key_of_a_wrong_type_concerns_its_user_alone(redis: Any, key: str, caplog: pytest.LogCaptureFixture) -> None:
    spend(admit(ask(user=2)), 5)
    redis.delete(key)
    redis.lpush(key, "somebody's")
    if key.startswith("ratelimit"):
        with pytest.raises(RedisAway):
            admit(ask(user=1))
        assert "WRONGTYPE" in caplog.text
    spend(admit(ask(user=2)), 5)


def test_refused_command_leaves_the_shared_connection_as_it_is() -> None:
    client().lpush("quota:x", "1")
    before = line()._listening()
    with pytest.raises(RedisAway), reaching_redis():
        line().ask("GET", "quota:x")
    assert line()._listening() is before
    assert line().ask("PING") == "PONG"
