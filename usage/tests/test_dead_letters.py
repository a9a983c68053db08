"""What the drainer cannot write as it stands: kept whole for a person, and its money counted all the same."""

from decimal import Decimal
from typing import Any

import orjson
import pytest

from usage import drainer
from usage.admission import Usage, admit
from usage.drainer import drain
from usage.ledger import STREAM
from usage.models import DeadLetter, UsageLog

from .calls import ask

pytestmark = pytest.mark.django_db

TOO_LONG = "x" * 40


def send_a_row(finish_reason: str = TOO_LONG) -> str:
    """Through the product; the id of its request."""
    ticket = admit(ask(user=7))
    ticket.attempt(0).settle(Usage(11, 22, 3_000_000, 4_000_000, finish_reason))
    return ticket.request_id


def test_a_row_that_the_table_refuses_is_kept_whole_with_the_reason(redis: Any) -> None:
    request_id = send_a_row()
    [(stream_id, fields)] = redis.xrange(STREAM)
    drain()
    letter = DeadLetter.objects.get()
    assert (letter.stream_id, letter.payload) == (stream_id, fields["row"])
    assert request_id in letter.payload
    assert "too long" in letter.error


def test_its_money_is_in_the_table_under_the_same_attempt_and_time(redis: Any) -> None:
    request_id = send_a_row()
    [(_stream_id, fields)] = redis.xrange(STREAM)
    drain()
    row = UsageLog.objects.get()
    assert (str(row.request_id), row.attempt, row.user_id) == (request_id, 1, 7)
    assert (row.cost_usd, row.charged_usd) == (Decimal("0.003"), Decimal("0.003"))
    assert (row.provider, row.model, row.error_flag, row.error_message) == ("unknown", "unknown", True, "dead_letter")
    assert round(row.created_at.timestamp() * 1_000_000) == int(orjson.loads(fields["row"])["created_us"])


def test_what_the_customer_was_not_charged_stays_so_in_a_dead_letter(redis: Any) -> None:
    admit(ask()).attempt(0).unknown("timeout", Usage(cost=5_000, finish_reason=TOO_LONG))
    drain()
    row = UsageLog.objects.get()
    assert (row.cost_usd, row.charged_usd) == (Decimal("0.000005"), Decimal(0))


def test_a_character_that_postgresql_cannot_hold_is_kept_readable(redis: Any) -> None:
    redis.xadd(STREAM, {"row": '{"request_id": "a\0b"}'})
    drain()
    assert DeadLetter.objects.get().payload == '{"request_id": "a\\0b"}'


def test_one_bad_row_does_not_keep_the_batch_from_the_table(redis: Any) -> None:
    good = [send_a_row("stop"), send_a_row(), send_a_row("length")]
    assert drain() == 3
    assert DeadLetter.objects.count() == 1
    kept = {str(row.request_id): row.finish_reason for row in UsageLog.objects.all()}
    assert kept == {good[0]: "stop", good[1]: "", good[2]: "length"}


def test_rows_move_in_batches_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drainer, "BATCH", 2)
    sent = [send_a_row("stop") for _ in range(5)]
    assert [drain() for _ in range(4)] == [2, 2, 1, 0]
    assert [str(row.request_id) for row in UsageLog.objects.order_by("id")] == sent


@pytest.mark.parametrize("truth_first", [False, True])
def test_of_an_estimate_and_its_truth_in_one_batch_the_truth_stays(redis: Any, truth_first: bool) -> None:
    send_a_row("stop")
    [(stream_id, fields)] = redis.xrange(STREAM)
    redis.xdel(STREAM, stream_id)
    row = orjson.loads(fields["row"])
    truth = {**fields, "row": orjson.dumps(row).decode()}
    estimate = {**fields, "row": orjson.dumps({**row, "estimated": True, "cost": "9000000"}).decode()}
    for entry in (truth, estimate) if truth_first else (estimate, truth):
        redis.xadd(STREAM, entry)
    assert drain() == 2
    kept = UsageLog.objects.get()
    assert (kept.cost_usd, kept.estimated) == (Decimal("0.003"), False)
