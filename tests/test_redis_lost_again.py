"""Redis loses what it knew while something else goes wrong as well: each a crash or a race that once lost money."""

from typing import Any

import pytest

from tests.test_redis_comes_back import Server, other, server, under_way
from usage import budget, rebuilding
from usage.admission import admit
from usage.drainer import drain
from usage.errors import NotNow, RedisAway
from usage.process import Process, this_process
from usage.tests.calls import ask, spend

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["other", "server"]


def test_an_older_data_set_is_not_trusted_after_a_rebuild_that_failed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget.counters()
    older = server.file.read_bytes()
    spend(admit(ask()), 1_000_000)
    drain()
    server.comes_back(older)

    def fail(*_args: object) -> Any:
        raise RedisAway

    with monkeypatch.context() as patch:
        # After the stream's last id was moved up to the table's mark, and before the counter was set.
        patch.setattr(rebuilding, "count_day", fail)
        with pytest.raises(NotNow):
            admit(ask())
    this_process().tick()
    assert budget.counters().spent == 1_000_000
