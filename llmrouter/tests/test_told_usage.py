"""What an answer is billed at: the provider's last word on the whole of it, else a safe bound."""

from decimal import Decimal
from typing import Any

import pytest

from billing.money import dollars
from llmrouter.providers.usage_reader import believable, billed, tokens
from llmrouter.types import Tokens
from tests.standins.provider import ProviderStandIn, error
from usage import budget

from .scripted import USAGE, chunk, counted, last_chunk, streams, tool, whole
from .talking import Talker, events_of, hang_up_after, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

# At 2.50 and 10 dollars per million tokens.
BILL = Decimal("0.000225")
WORDS = [chunk({"content": "mot "}) for _ in range(20)]
EARLY = last_chunk(prompt_tokens=10, completion_tokens=0, total_tokens=10, cost=0.000025)


def hold_of(pro: Talker, standin: ProviderStandIn) -> Decimal:
    """What is held for such a call."""
    standin["openrouter"].faults = [streams(*WORDS, chunk({}, "stop"), last_chunk())]
    response = pro.complete(stream=True)
    held = dollars(budget.counters().held)
    events_of(response)
    return held


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10.0, "completion_tokens": 20.0, "total_tokens": 30.0},
        {"prompt_tokens": "10", "completion_tokens": "20", "total_tokens": "30"},
        {"prompt_tokens": "10.0", "completion_tokens": 20},
        {"prompt_tokens": None, "completion_tokens": 20, "total_tokens": 30},
        {"input_tokens": 10, "output_tokens": 20},
        {"input_tokens": 10, "output_tokens": 20, "input_tokens_details": {}, "output_tokens_details": {}},
        {"prompt_tokens": 10, "completion_tokens": 20, "prompt_tokens_details": None},
    ],
)
def test_counts_are_read_in_whatever_form(usage: dict[str, Any]) -> None:
    assert tokens(usage) == Tokens(input=10, output=20)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "ten", "", True, [1], -1, "1e400"])
def test_what_is_no_count_is_none(value: Any) -> None:
    assert tokens({"prompt_tokens": value, "completion_tokens": 20}) is None


def test_a_total_counts_what_the_completion_leaves_out_up_to_the_cap() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 20_000}
    assert tokens(usage, cap=100) == Tokens(input=10, output=100)
    assert tokens({**usage, "total_tokens": 65}, cap=100) == Tokens(input=10, output=55)


def test_a_bill_in_a_text_is_a_bill() -> None:
    assert billed({"cost": "0.000225"}) == 225_000


@pytest.mark.parametrize(
    ("counts", "spoken", "is_believed"),
    [
        (Tokens(10, 20), 100, True),
        (Tokens(10, 0), 0, True),
        (Tokens(10, 0), 4, False),
        (Tokens(0, 20), 100, False),
        (Tokens(10, 1), 1000, False),
        (None, 100, False),
    ],
)
def test_counts_that_the_words_belie_are_not_told(counts: Tokens | None, spoken: int, *, is_believed: bool) -> None:
    assert (believable(counts, spoken) is not None) == is_believed


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0},
        {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
        {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10},
        {},
        None,
    ],
)
def test_zeros_beside_words_cost_the_hold_and_not_nothing(pro: Talker, standin: ProviderStandIn, usage: Any) -> None:
    held = hold_of(pro, standin)
    standin["openrouter"].faults = [whole("mot " * 20, usage=usage)]
    assert pro.complete().status_code == 200
    standin["openrouter"].faults = [streams(*WORDS, chunk({}, "stop"), {"choices": [], "usage": usage})]
    events_of(pro.complete(stream=True))
    _first, in_one, streamed = rows()
    assert [(row.cost_usd, row.estimated) for row in (in_one, streamed)] == [(held, True), (held, True)]


@pytest.mark.parametrize("count", [None, 0])
def test_a_told_bill_needs_no_counts(pro: Talker, standin: ProviderStandIn, count: Any) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "cost": 0.000225}
    standin["openrouter"].faults = [whole("mot", usage=usage)]
    pro.complete()
    standin["openrouter"].faults = [streams(*WORDS, chunk({}, "stop"), last_chunk(**usage))]
    events_of(pro.complete(stream=True))
    assert [(row.cost_usd, row.estimated) for row in rows()] == [(BILL, False)] * 2


def test_a_told_bill_without_counts_is_not_believed_beyond_the_hold(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [whole("mot", usage={"prompt_tokens": None, "completion_tokens": None, "cost": 9})]
    pro.complete()
    (row,) = rows()
    assert row.estimated
    assert row.cost_usd < 1


LATER: dict[str, dict[str, Any]] = {
    "zeros": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "zeros and a bill of zero": {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0},
    "the same without its bill": {"prompt_tokens": 10, "completion_tokens": 20},
    "the same": USAGE,
    "less": {"prompt_tokens": 10, "completion_tokens": 3, "cost": 0.00005},
    "nulls": {"prompt_tokens": None, "completion_tokens": None, "cost": None},
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
def test_a_usage_is_not_replaced_by_less(pro: Talker, standin: ProviderStandIn, later: dict[str, Any]) -> None:
    standin["openrouter"].faults = [streams(*WORDS, chunk({}, "stop", usage=USAGE), last_chunk(**later))]
    events_of(pro.complete(stream=True))
    (row,) = rows()
    assert (row.cost_usd, row.tokens_output, row.estimated) == (BILL, 20, False)


def test_a_later_usage_completes_an_earlier_one(pro: Talker, standin: ProviderStandIn) -> None:
    """The bill of the earlier counts is not that of the later ones."""
    standin["openrouter"].faults = [streams(EARLY, *WORDS, chunk({}, "stop"), last_chunk(**counted(10, 20)["usage"]))]
    events_of(pro.complete(stream=True))
    (row,) = rows()
    assert (row.cost_usd, row.estimated) == (BILL, False)


def test_a_usage_before_the_last_word_is_not_the_bill(pro: Talker, standin: ProviderStandIn) -> None:
    held = hold_of(pro, standin)
    running = [chunk({"content": "mot "}, **counted(10, 2)) for _ in range(2)]
    for first in ([EARLY], running, [last_chunk(prompt_tokens=10, completion_tokens=9, cost=0.0001)]):
        standin["openrouter"].faults = [streams(*first, *WORDS, chunk({}, "stop"))]
        events_of(pro.complete(stream=True))
    assert [(row.cost_usd, row.estimated) for row in rows()[1:]] == [(held, True)] * 3


def test_a_usage_before_a_cut_is_not_the_bill(pro: Talker, standin: ProviderStandIn) -> None:
    held = hold_of(pro, standin)
    standin["openrouter"].faults = [streams(EARLY, *WORDS, last="")]
    assert events_of(pro.complete(stream=True))[-1]["error"]["code"] == "provider_failed"
    row = rows()[-1]
    assert (row.cost_usd, row.estimated, row.error_flag) == (held, True, True)


def test_a_usage_before_a_hang_up_is_not_the_bill(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams(EARLY, *WORDS * 20, chunk({}, "stop"), pace=0.005)]
    hang_up_after(10, pro.complete(stream=True))
    (row,) = rows()
    assert (row.finish_reason, row.estimated) == ("client_gone", True)
    # At least the ten words at a token each, and more than the 0.000025 of the early usage.
    assert row.cost_usd > Decimal("0.000125")


def test_an_empty_answer_costs_what_was_told_of_it(pro: Talker, standin: ProviderStandIn) -> None:
    """It is no answer, and another route gives one; its thoughts may have been billed."""
    standin["openrouter"].faults = [whole("", usage={"prompt_tokens": 10, "completion_tokens": 20, "cost": 0.000225})]
    assert pro.complete()["X-IAF-Provider"] == "groq"
    standin["openrouter"].faults = [
        streams(chunk({"role": "assistant", "content": ""}), chunk({}, "stop"), last_chunk())
    ]
    response = pro.complete(stream=True)
    assert (response["X-IAF-Provider"], events_of(response)[-1]) == ("groq", "[DONE]")
    lost = [row for row in rows() if row.error_flag]
    assert [(row.cost_usd, row.estimated, row.error_message) for row in lost] == [(BILL, False, "empty")] * 2
    assert (budget.counters().held, budget.counters(pro.user.pk).messages) == (0, 2)


def test_an_empty_answer_that_tells_nothing_costs_the_hold(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [whole("", usage=None)]
    assert pro.complete()["X-IAF-Provider"] == "groq"
    assert rows()[0].estimated
    assert rows()[0].cost_usd > 0


def test_a_call_that_waited_for_the_end_does_not_hide_the_usage(pro: Talker, standin: ProviderStandIn) -> None:
    parts = [chunk({"tool_calls": [tool(0, "{}", id="a", name="now")]}), chunk({}, "tool_calls"), last_chunk()]
    standin["openrouter"].faults = [streams(*parts)]
    events_of(pro.complete(stream=True))
    assert (rows()[0].cost_usd, rows()[0].estimated) == (BILL, False)


@pytest.mark.parametrize(("kind", "is_hold"), [("reasoning.encrypted", True), ("reasoning.text", False)])
def test_a_hang_up_on_hidden_thoughts_costs_the_hold(
    pro: Talker, standin: ProviderStandIn, kind: str, *, is_hold: bool
) -> None:
    """They were generated, and nothing of them is in what came."""
    thought = chunk({"content": "", "reasoning_details": [{"type": kind, "data": "ENC", "text": "hm"}]})
    standin["openrouter"].faults = [streams(thought, *WORDS * 20, chunk({}, "stop"), pace=0.005)]
    response = pro.complete(stream=True)
    held = dollars(budget.counters().held)
    hang_up_after(10, response)
    assert (rows()[0].cost_usd == held) == is_hold


@pytest.mark.parametrize("place", ["choice", "x_groq"])
def test_a_usage_of_a_whole_answer_is_found_where_it_is(pro: Talker, standin: ProviderStandIn, place: str) -> None:
    choice: dict[str, Any] = {"message": {"content": "mot"}, "finish_reason": "stop"}
    told = {"choices": [{**choice, "usage": USAGE}]} if place == "choice" else {"x_groq": {"usage": USAGE}}
    standin["openrouter"].faults = [error(200, {"choices": [choice], **told})]
    pro.complete()
    assert [(row.cost_usd, row.estimated) for row in rows()] == [(BILL, False)]


def test_a_part_that_is_larger_than_its_whole_was_counted_beside_it() -> None:
    thought = {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 300}}
    assert tokens(thought) == Tokens(input=10, output=305, reasoning=300)
    assert tokens(thought, cap=100) == Tokens(input=10, output=100, reasoning=300)
    cached = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3000}}
    assert tokens(cached) == Tokens(input=3010, output=5, cached=3000)
    assert tokens({**cached, "prompt_tokens": 3000}) == Tokens(input=3000, output=5, cached=3000)


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens_details": {"cached_tokens": 4, "cache_creation_input_tokens": 3}},
        {"input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
        {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
    ],
)
def test_the_caches_tokens_have_many_names(told: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 20, **told}
    assert tokens(usage) == Tokens(input=10, output=20, cached=4, cache_written=3)
