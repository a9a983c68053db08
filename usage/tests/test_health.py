"""The breakers by themselves; what opens one is told by the router's tests."""

from collections.abc import Callable

import pytest

from usage import health

pytestmark = pytest.mark.django_db


def test_late_failures_do_not_put_off_the_next_try(travel: Callable[[float], None]) -> None:
    """Streams that were under way when it opened fail for minutes after it."""
    health.failed("openrouter", "server_error (500)", at_once=True)
    for _ in range(2):
        travel(10)
        health.failed("openrouter", "cut")
        assert not health.claim("openrouter")
    travel(6)
    assert [health.claim("openrouter") for _ in range(2)] == [True, False]
    # The one who tried it fails too: the next try is a rest later.
    health.failed("openrouter", "server_error (500)")
    travel(20)
    assert not health.claim("openrouter")
    travel(6)
    assert health.claim("openrouter")
