"""Events come out whole, however the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from llmrouter.providers.sse import COMMENT, Event, EventReader


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


@given(st.binary(max_size=300))
def test_no_bytes_break_it(noise: bytes) -> None:
    for event in read(noise):
        assert isinstance(event.data, bytes)
