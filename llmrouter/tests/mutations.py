"""Shapes of the corpus, mutated as networks, proxies and careless servers do it: events lost, repeated, out of order,
fields of another type, bytes cut anywhere."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from .shapes import Shape, all_shapes

SHAPES = all_shapes()
# What stands where a field had another type. No number that a usage may have: a count beyond the cap cuts the answer.
OTHER: list[Any] = [None, True, 0, -1, 1.5, 2**70, "", "x", "null", [], {}, [[]], [None], {"a": {}}, [{"text": "x"}]]
DELETED = object()


@dataclass(frozen=True)
class Event:
    """One event on the wire, or a whole body. `parsed` is its JSON, where it is some."""

    raw: bytes
    parsed: Any = None
    retyped: bool = False

    @property
    def text(self) -> str:
        """What it says, if that is a text as a client gets it."""
        said = said_by(self.parsed)
        return said if isinstance(said, str) and said.isprintable() else ""

    @property
    def ends(self) -> bool:
        """Nothing is read behind it."""
        return b"[DONE]" in self.raw or (isinstance(self.parsed, dict) and self.parsed.get("type") == "message_stop")


@dataclass(frozen=True)
class Mutant:
    shape: Shape
    events: tuple[Event, ...]
    packets: tuple[bytes, ...]

    @property
    def retyped(self) -> bool:
        return any(event.retyped for event in self.events)

    def texts(self, *, before_trouble: bool) -> list[str]:
        """The texts that arrive in intact events, in their order; `before_trouble`, those that come before anything
        that may end the answer early."""
        found: list[str] = []
        for event in self.events:
            if event.ends or (before_trouble and (event.retyped or (self.shape.fails and not event.text))):
                break
            found += [] if event.retyped or not event.text else [event.text]
        return found


def said_by(parsed: Any) -> Any:
    """The text of an event or a body, in either dialect."""
    match parsed:
        case {"choices": [{"delta": {"content": text}}, *_]}:
            return text
        case {"choices": [{"message": {"content": text}}, *_], "object": "chat.completion"}:
            return text
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}:
            return text
    return None


def events_of(shape: Shape) -> list[Event]:
    return [Event(packet, json_in(packet)) for packet in shape.packets()]


def json_in(packet: bytes) -> Any:
    """None for what is no JSON on one line."""
    data = [line.partition(b":")[2] for line in packet.splitlines() if line.startswith(b"data:")] or [packet]
    try:
        return json.loads(data[0]) if len(data) == 1 else None
    except ValueError:
        return None


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in entries:
        yield (*path, name)
        yield from paths_in(inner, (*path, name))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The same with another value at this path, or without it."""
    if not path:
        return new
    name, *rest = path
    copy = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    copy[name] = changed(copy[name], tuple(rest), new)
    if copy[name] is DELETED:
        del copy[name]
    return copy if isinstance(value, dict) else list(copy.values())


def retyped(event: Event, place: int, new: Any) -> Event:
    """One field of another type, or gone."""
    paths = list(paths_in(event.parsed))
    if not paths:
        return event
    parsed = changed(event.parsed, paths[place % len(paths)], new)
    data = json.dumps(parsed).encode()
    if b"data:" not in event.raw:
        return Event(data, parsed, retyped=True)
    name = b"".join(line + b"\n" for line in event.raw.splitlines() if line.startswith(b"event:"))
    return Event(name + b"data: " + data + b"\n\n", parsed, retyped=True)


ANY = st.integers(0, 10_000)
STEP = st.tuples(
    st.sampled_from(["drop", "repeat", "move", "retype", "retype"]), ANY, ANY, st.sampled_from([*OTHER, DELETED])
)


def step(events: list[Event], kind: str, place: int, other: int, new: Any) -> list[Event]:
    """One mutation."""
    if not events:
        return events
    place %= len(events)
    rest = events[:place] + events[place + 1 :]
    if kind == "drop":
        return rest
    if kind == "retype":
        return [*events[:place], retyped(events[place], other, new), *events[place + 1 :]]
    # Repeated, or moved.
    into = events if kind == "repeat" else rest
    other %= len(into) + 1
    return [*into[:other], events[place], *into[other:]]


@st.composite
def mutants(draw: Any) -> Mutant:
    shape = draw(st.sampled_from(SHAPES))
    events = events_of(shape)
    for kind, place, other, new in draw(st.lists(STEP, min_size=1, max_size=4)):
        if shape.is_stream or kind == "retype":
            events = step(events, kind, place, other, new)
    body = b"".join(event.raw for event in events)
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    packets = [body[begin:end] for begin, end in zip([0, *places], [*places, len(body)], strict=True)]
    return Mutant(shape, tuple(events), tuple(packets))


def intact(shape: Shape) -> Mutant:
    events = events_of(shape)
    return Mutant(shape, tuple(events), tuple(event.raw for event in events))
