"""Server-sent events, read as they come: any cut into packets, any line ending, comments told apart from data."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import Unclear

# One event is never longer; what is longer is not an event.
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is the event's data, lines joined; `name` is its `event:` field. A comment has neither."""

    data: bytes = b""
    name: str = ""
    comment: bool = False


COMMENT = Event(comment=True)


class EventReader:
    """Bytes in, whole events out; what is not whole yet waits for the next bytes."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._name = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        text = self._rest + chunk
        if len(text) > MOST_BYTES:
            raise Unclear("too_large")
        # A carriage return at the very end may be half of a line ending.
        held_back = b"\r" if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(held_back)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held_back
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def end(self) -> Iterator[Event]:
        """The stream is over: a last event may lack its blank line."""
        yield from self.feed(b"\n\n")

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            return COMMENT
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> Event | None:
        if not self._data:
            self._name = ""
            return None
        event = Event(b"\n".join(self._data), self._name)
        self._data, self._name = [], ""
        return event
