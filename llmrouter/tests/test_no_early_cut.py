"""A stream is cut only where more came than was paid for, by the fewest tokens that it can have been."""

from typing import Any

import pytest

from tests.standins.provider import ProviderStandIn

from .scripted import USAGE, added_up, chunk, counted, last_chunk, streams, tool
from .talking import Talker, events_of, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

TEXT = "Les fruits de saison sont bons pour la santé, et ils coûtent moins cher au marché du quartier. " * 2
ARGUMENTS = '{"city": "Oran", "unit": "celsius", "days": 3, "lang": "fr", "details": true}'
THOUGHT = "raison, mais enfin "
SOURCE = {"type": "url_citation", "url_citation": {"url": "https://e.dz", "title": "t", "content": "x" * 400}}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "E" * 4000}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "i" * 4000}}
SIGNATURE = {"google": {"thought_signature": "S" * 4000}}

# Each is well under 50 tokens.
SHORT: dict[str, list[dict[str, Any]]] = {
    "a delta per character": [chunk({"content": letter}) for letter in TEXT],
    "a delta per character of a call": [
        chunk({"tool_calls": [tool(0, "", id="a", name="weather")]}),
        *(chunk({"tool_calls": [tool(0, letter)]}) for letter in ARGUMENTS),
    ],
    "thoughts under two names": [chunk({"reasoning": THOUGHT, "reasoning_content": THOUGHT}) for _ in range(8)],
    "thoughts and their details": [
        chunk({"reasoning": THOUGHT, "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT}]})
        for _ in range(8)
    ],
    "annotations": [chunk({"content": "", "annotations": [SOURCE] * 9}), chunk({"content": "Voici."})],
    "encrypted thoughts": [chunk({"content": "", "reasoning_details": [ENCRYPTED]}), chunk({"content": "42"})],
    "signatures": [chunk({"content": "42", "extra_content": SIGNATURE})],
    "a field that we do not know": [chunk({"content": "42", "images": [IMAGE] * 3})],
    "Hindi, at twelve bytes a token": [chunk({"content": "नमस्ते दुनिया "}) for _ in range(11)],
    "blanks of an indented program": [chunk({"content": " " * 40 + "x\n"}) for _ in range(24)],
    "the same words in one delta": [chunk({"content": TEXT * 2})],
}


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one packet"])
@pytest.mark.parametrize("pieces", SHORT.values(), ids=SHORT)
def test_an_answer_within_its_cap_is_not_cut(
    pro: Talker, standin: ProviderStandIn, pieces: list[Any], *, at_once: bool
) -> None:
    ending = [chunk({}, "stop"), last_chunk()]
    standin["openrouter"].faults = [streams(*pieces, *ending, at_once=at_once)]
    found = added_up(events_of(pro.complete(stream=True, max_tokens=50)))
    said = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
    assert (found["content"], found["reasons"]) == (said, ["tool_calls" if found["calls"] else "stop"])
    (row,) = rows()
    assert (row.tokens_output, row.estimated) == (20, False)


def test_nothing_is_cut_behind_the_end(pro: Talker, standin: ProviderStandIn) -> None:
    """More came than was asked for, and it ended all the same: its bill is the true one."""
    usage = {**USAGE, "completion_tokens": 900, "total_tokens": 910, "cost": 0.009}
    words = [chunk({"content": "mot " * 200}) for _ in range(5)]
    standin["openrouter"].faults = [streams(*words, chunk({}, "stop"), last_chunk(**usage), at_once=True)]
    found = added_up(events_of(pro.complete(stream=True, max_tokens=50)))
    assert (len(found["content"].split()), found["reasons"]) == (1000, ["stop"])
    assert (rows()[0].tokens_output, rows()[0].estimated) == (900, False)


def test_an_answer_that_does_not_end_is_cut(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams(*[chunk({"content": "mot " * 20})] * 2000)]
    found = added_up(events_of(pro.complete(stream=True, max_tokens=50)))
    # 64 bytes a token: no word of any vocabulary has more.
    assert 50 * 64 <= len(found["content"]) < 50 * 64 + 160
    assert found["reasons"] == ["length"]
    assert rows()[0].estimated


def test_a_running_usage_beyond_the_cap_cuts(pro: Talker, standin: ProviderStandIn) -> None:
    """The provider counts with each piece, and so tells itself that it ran over."""
    pieces = [chunk({"content": "mot "}, **counted(10, number)) for number in range(1, 2000)]
    standin["openrouter"].faults = [streams(*pieces, pace=0.001)]
    found = added_up(events_of(pro.complete(stream=True, max_tokens=50)))
    assert found["reasons"] == ["length"]
    assert 50 <= len(found["content"].split()) < 1900


def test_a_cut_is_billed_as_told_where_hanging_up_does_not_end_the_bill(pro: Talker, standin: ProviderStandIn) -> None:
    words = [chunk({"content": "mot " * 20}, provider="Google") for _ in range(100)]
    usage = {**USAGE, "completion_tokens": 2000, "total_tokens": 2010, "cost": 0.02}
    standin["openrouter"].faults = [streams(*words, chunk({}, "length"), last_chunk(**usage), pace=0.002)]
    found = added_up(events_of(pro.complete(stream=True, max_tokens=50)))
    assert found["reasons"] == ["length"]
    (row,) = rows()
    assert (row.tokens_output, row.estimated, row.finish_reason) == (2000, False, "length")
