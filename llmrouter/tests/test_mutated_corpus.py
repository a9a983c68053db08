"""The corpus, mutated, through the doors: no exception but ours, no text lost, answers that OpenAI's SDK takes, and
bills within what was told and held. CORPUS_EXAMPLES=1000 plays more, at random."""

import os
from decimal import Decimal
from typing import Any

import openai
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from billing import entitlements
from billing.models import Tier
from llmrouter.providers import anthropic
from llmrouter.providers import openai as openai_dialect
from llmrouter.providers.base import Reader
from llmrouter.providers.registry import PROVIDERS, Connection
from tests.standins.provider import ProviderStandIn
from usage import budget, health
from usage.models import UsageLog
from usage.process import this_process

from .clients import Answered, answered, as_event_source, streamed_by_sdk, strict_json, whole_by_sdk
from .mutations import SHAPES, Mutant, intact, mutants
from .scripted import added_up
from .shapes import Shape, play, sends, serve_only_by
from .talking import Talker, rows
from .test_any_answer import CALL, read
from .test_any_answer import check as check_pieces
from .test_corpus import ASKED, DOORS, STREAMED

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("CORPUS_EXAMPLES", "0"))
# The same ones in every run, unless asked for more: a test that fails now and then helps nobody.
SETTINGS = settings(max_examples=EXAMPLES or 50, derandomize=not EXAMPLES, deadline=None, database=None)


@pytest.fixture
def tireless(pro: Talker) -> Talker:
    """Somebody whom no limit stops in the middle of all the examples."""
    Tier.objects.filter(pk="pro").update(requests_per_minute=10**6, messages_per_day=10**6, user_daily_budget_usd=1000)
    entitlements.forget_standings()
    return pro


def new_rows(last: list[int]) -> list[UsageLog]:
    """Those that were not there before."""
    found = [row for row in rows() if row.pk not in last]
    last += [row.pk for row in found]
    return found


@pytest.fixture
def hold(tireless: Talker, standin: ProviderStandIn, settings: Any) -> Decimal:
    """What is held for each of these calls: the bill of an answer that tells none."""
    play(next(shape for shape in SHAPES if shape.id == "cohere/chat.sse"), standin, settings)
    for door in DOORS.values():
        answered(tireless.send(door, STREAMED))
    return max(row.cost_usd for row in rows())


def ask(mutant: Mutant, door: str, pro: Talker, standin: ProviderStandIn, settings: Any, *, stream: bool) -> Answered:
    # No circuit breaker stays open from the example before.
    for subject in {*this_process().breakers, *this_process().failures}:
        health.succeeded(subject)
    serve_only_by(mutant.shape.provider, standin, settings)
    standin[mutant.shape.provider].faults = [sends(mutant.packets, is_stream=mutant.shape.is_stream)]
    return answered(pro.send(DOORS[door], STREAMED if stream else ASKED))


def check(mutant: Mutant, answer: Answered, door: str, *, stream: bool) -> None:
    if answer.status != 200:
        assert answer.status in (502, 503), answer.body
        assert strict_json(answer.body)["error"]
        if stream and mutant.shape.is_stream:
            assert mutant.texts(before_trouble=True) == []
    elif stream:
        check_stream(mutant, answer, door)
    else:
        text = strict_json(answer.body)["response"] if door == "v2" else text_of_completion(answer)
        assert_in_order(mutant.texts(before_trouble=False), text)


def text_of_completion(answer: Answered) -> str:
    ChatCompletion.model_validate(strict_json(answer.body))
    return whole_by_sdk(answer).choices[0].message.content or ""


def check_stream(mutant: Mutant, answer: Answered, door: str) -> None:
    events = [strict_json(data) for _, data in as_event_source(answer) if data != "[DONE]"]
    found = added_up(events)
    failed = found["error"] is not None
    assert_in_order(mutant.texts(before_trouble=failed), found["content"])
    assert len(found["reasons"]) == (0 if failed else 1)
    assert all(call["id"] and call["name"] for call in found["calls"].values())
    if door == "v2":
        return
    if failed:
        with pytest.raises(openai.APIError):
            streamed_by_sdk(answer)
        return
    for event in events:
        ChatCompletionChunk.model_validate(event)
    assert (streamed_by_sdk(answer).choices[0].message.content or "") == found["content"]


def assert_in_order(texts: list[str], whole: str) -> None:
    place = 0
    for text in texts:
        place = whole.find(text, place)
        assert place >= 0, (text, whole)
        place += len(text)


def check_bill(mutant: Mutant, hold: Decimal, billed: list[UsageLog]) -> None:
    assert budget.counters().held == 0
    told = mutant.shape.expected.get("cost", "hold")
    for row in billed:
        assert 0 <= row.cost_usd <= hold
        if not (row.estimated or row.error_flag or mutant.retyped or told == "hold"):
            assert row.cost_usd <= Decimal(told)


def test_mutants_are_answers_or_failures_of_ours(
    tireless: Talker, standin: ProviderStandIn, settings: Any, hold: Decimal
) -> None:
    seen = [row.pk for row in rows()]

    @SETTINGS
    @given(mutants(), st.sampled_from(sorted(DOORS)), st.booleans())
    def play_one(mutant: Mutant, door: str, stream: bool) -> None:
        note(f"{mutant.shape.id} {door} {stream=} {b''.join(mutant.packets).decode(errors='replace')}")
        answer = ask(mutant, door, tireless, standin, settings, stream=stream)
        check(mutant, answer, door, stream=stream)
        check_bill(mutant, hold, new_rows(seen))

    play_one()


def test_a_list_that_comes_in_two_deltas_adds_up(tireless: Talker, standin: ProviderStandIn, settings: Any) -> None:
    """OpenAI's SDK raises where the entries have no index."""
    shape = next(shape for shape in SHAPES if shape.id == "openrouter/annotations.sse")
    whole = intact(shape)
    first, cited, *rest = whole.packets
    twice = Mutant(shape, whole.events, (first, cited, cited, *rest))
    for door in DOORS:
        answer = ask(twice, door, tireless, standin, settings, stream=True)
        check(twice, answer, door, stream=True)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_streams_in_packets_of_a_few_bytes_say_the_same(size: int) -> None:
    """Whatever byte a packet ends at."""
    for shape in SHAPES:
        if shape.is_stream:
            packets = [shape.body[place : place + size] for place in range(0, len(shape.body), size)]
            assert said_in(shape, packets) == said_in(shape, [shape.body]), shape.id


def said_in(shape: Shape, packets: list[bytes]) -> Any:
    """What a stream says to clients, and what it was told to cost."""
    provider = PROVIDERS[shape.provider]
    reader: Reader = (
        anthropic.Translator(provider, "m")
        if provider.dialect == "anthropic"
        else openai_dialect.PieceReader(Connection(provider, "http://x", (), free=False), CALL, {})
    )
    pieces, trouble = read(reader, packets)
    found = added_up(check_pieces(pieces, trouble))
    # Ids are made by chance where a provider gives none.
    found["calls"] = [{**call, "id": ""} for call in found["calls"].values()]
    return found, type(trouble), [(piece.tokens, piece.cost) for piece in pieces if piece.tokens or piece.cost]
