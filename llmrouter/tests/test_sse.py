"""Events come out whole, however the bytes are cut."""

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmrouter.errors import RouterError, Unclear
from llmrouter.providers import openai, sse
from llmrouter.providers.registry import PROVIDERS, Connection
from llmrouter.providers.sse import COMMENT, Event, EventReader
from llmrouter.types import Upstream


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events + list(reader.end())


def test_one_event() -> None:
    assert read(b"data: {}\n\n") == [Event(b"{}")]


def test_without_a_space_with_crlf_and_without_an_end() -> None:
    assert read(b"data:a\r\n\r\ndata: b") == [Event(b"a"), Event(b"b")]


def test_comments_names_and_several_lines() -> None:
    text = b": OPENROUTER PROCESSING\n\nevent: ping\ndata: a\ndata: b\nid: 5\n\n"
    assert read(text) == [COMMENT, Event(b"a\nb", "ping")]


def test_names_of_fields_in_upper_case_and_with_blanks() -> None:
    assert read(b"Data: a\n\n data: b\n\nEVENT: x\ndata : c\n\n") == [Event(b"a"), Event(b"b"), Event(b"c", "x")]


def test_events_without_a_blank_line_between_them() -> None:
    text = b'data: {"a": 1}\ndata: {"b": 2}\nevent: error\ndata: {"c": 3}\ndata: [DONE]\n\n'
    expected = [Event(b'{"a": 1}'), Event(b'{"b": 2}'), Event(b'{"c": 3}', "error"), Event(b"[DONE]")]
    assert read(text) == expected
    assert read(*(text[place : place + 1] for place in range(len(text)))) == expected


def test_one_object_on_several_lines_is_one_event() -> None:
    assert read(b'data: {"a": {}\ndata: , "b":\ndata: {}}\n\n') == [Event(b'{"a": {}\n, "b":\n{}}')]


def test_data_that_are_framed_twice() -> None:
    assert read(b"data: data: {}\n\ndata:data:data:[DONE]\n\n") == [Event(b"{}"), Event(b"[DONE]")]


def test_blank_lines_are_no_events() -> None:
    assert read(b"\n\n\nevent: lonely\n\ndata: a\n\n") == [Event(b"a")]


LINES = st.sampled_from([b"data: a", b"data:b", b": note", b"event: x", b"", b"junk", b"data: \xff\xfe", b"id: 1"])
ENDINGS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDINGS), max_size=30), st.lists(st.integers(0, 400), max_size=12))
def test_the_cuts_do_not_matter(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    text = b"".join(line + ending for line, ending in lines)
    places = sorted({min(cut, len(text)) for cut in cuts})
    chunks = [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]
    assert read(*chunks) == read(text)


SIGNS = st.sampled_from(
    [b"data:", b"data: ", b"data", b"event:", b":", b"\r", b"\n", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\0"]
)
SOUP = st.lists(st.one_of(SIGNS, st.binary(max_size=12)), max_size=40).map(b"".join)


@given(SOUP, st.data())
@example(b"data: a\r", None)
@example(b"\xef\xbb\xbfdata: a\n\n", None)
def test_no_bytes_break_it_wherever_they_are_cut(soup: bytes, data: Any) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(soup)), max_size=8)) if data else []
    places = sorted(cuts)
    chunks = [soup[begin:end] for begin, end in zip([0, *places], [*places, len(soup)], strict=True)]
    by_bytes = [soup[place : place + 1] for place in range(len(soup))]
    assert read(*chunks) == read(soup) == read(*by_bytes)


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert read(b"\xef\xbb\xbfdata: a\n\n") == read(b"\xef", b"\xbb\xbfdata: a\n\n") == [Event(b"a")]


def test_data_that_say_nothing_are_a_sign_of_life() -> None:
    assert read(b"data:\n\ndata: \n\ndata: a\n\n") == [COMMENT, COMMENT, Event(b"a")]


def test_many_events_in_one_piece_are_not_one_that_is_too_large() -> None:
    event = b"data: " + b"x" * 1000 + b"\n\n"
    assert len(read(event * (sse.MOST_BYTES // 1000))) == sse.MOST_BYTES // 1000


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 60_000 + b"\n", b"x" * 60_000, b"event: " + b"x" * 60_000])
def test_an_event_without_an_end_is_given_up_in_bounded_memory(endless: bytes) -> None:
    reader = EventReader()
    tracemalloc.start()
    try:
        with pytest.raises(Unclear):
            exhaust(reader, endless)
        assert tracemalloc.get_traced_memory()[1] < 4 * sse.MOST_BYTES
    finally:
        tracemalloc.stop()


def exhaust(reader: EventReader, endless: bytes) -> None:
    for _ in range(2000):
        list(reader.feed(endless))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 2**63) | st.floats() | st.text(max_size=8),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
    max_leaves=6,
)
NAMED = st.fixed_dictionaries(
    {},
    optional={
        "choices": ANYTHING
        | st.lists(
            st.fixed_dictionaries(
                {}, optional={"delta": ANYTHING, "finish_reason": ANYTHING, "usage": ANYTHING, "logprobs": ANYTHING}
            ),
            max_size=2,
        ),
        "usage": ANYTHING
        | st.fixed_dictionaries(
            {},
            optional={
                "prompt_tokens": ANYTHING,
                "completion_tokens": ANYTHING,
                "cost": ANYTHING,
                "prompt_tokens_details": ANYTHING,
            },
        ),
        "x_groq": ANYTHING,
        "error": ANYTHING | st.fixed_dictionaries({}, optional={"code": ANYTHING, "message": ANYTHING}),
    },
)


@given(st.lists(NAMED | ANYTHING, max_size=4))
def test_whatever_a_provider_says_only_our_own_errors_come_of_it(events: list[Any]) -> None:
    provider = PROVIDERS["openrouter"]
    connection = Connection(provider, "http://x", (), free=False)
    call = Upstream(model="m", messages=(), max_tokens=5)
    reader = openai.PieceReader(connection, call, {})
    try:
        for event in events:
            list(reader.read(b"data: " + orjson.dumps(event, default=str) + b"\n\n"))
        list(reader.end())
    except RouterError:
        pass
