"""Server-sent events, read as they come: any cut into packets, any line ending, comments told apart from data."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import Unclear

# One event is never longer; what is longer is not an event.
MOST_BYTES = 4 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANKS = b" \t\r\n" + BYTE_ORDER_MARK
ANEW = (b"{", b"[DONE]")
FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


def looks_like_events(body: bytes) -> bool:
    """Whether a body is a stream of events, whatever its Content-Type says."""
    return body[:64].lstrip(BLANKS).lower().startswith(FIELDS)


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is the event's data, lines joined; `name` is its `event:` field. A comment has neither."""

    data: bytes = b""
    name: str = ""
    comment: bool = False


COMMENT = Event(comment=True)


class EventReader:
    """Bytes in, whole events out; what is not whole yet waits for the next bytes, up to the length of an event."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._name = ""
        # The event's name as its first data came.
        self._first_name = ""
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        may_end_a_line = b"\n" in chunk or b"\r" in chunk or self._rest.endswith(b"\r")
        self._rest += chunk
        if may_end_a_line:
            for line in self._whole_lines():
                event = self._line(line)
                if event is not None:
                    yield event
        if len(self._rest) + self._size > MOST_BYTES:
            raise Unclear("too_large")

    def end(self) -> Iterator[Event]:
        """The stream is over: a last event may lack its blank line."""
        yield from self.feed(b"\n\n")

    def _whole_lines(self) -> list[bytes]:
        text = bytes(self._rest)
        # A carriage return at the very end may be half of a line ending.
        held_back = b"\r" if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(held_back)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = bytearray(lines.pop() + held_back)
        if lines and not self._begun:
            self._begun, lines[0] = True, lines[0].removeprefix(BYTE_ORDER_MARK)
        return lines

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            return COMMENT
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            return self._data_line(value)
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif (known := field.strip().lower()) != field and known in (b"data", b"event"):
            # Not as the standard has it, but what it means is plain.
            return self._line(known + b":" + value)
        return None

    def _data_line(self, value: bytes) -> Event | None:
        """The event that this line ends, where a blank line is missing between two."""
        while value.startswith(b"data:"):
            # Some gateways frame twice what they pass on.
            value = value[len(b"data:") :].lstrip()
        ended = self._without_its_end() if self._data and self._begins_anew(value) else None
        if not self._data:
            self._first_name = self._name
        self._data.append(value)
        self._size += len(value) + 1
        if self._size > MOST_BYTES:
            raise Unclear("too_large")
        return ended

    def _begins_anew(self, value: bytes) -> bool:
        """Some servers end an event with one line ending only. Behind an object another one never goes on with it."""
        first = self._data[0]
        return len(self._data) == 1 and value.startswith(ANEW) and first[:1] == b"{" and first.rstrip()[-1:] == b"}"

    def _without_its_end(self) -> Event | None:
        """The event so far; a name that came behind its data is that of the next one."""
        behind, self._name = self._name, self._first_name
        ended = self._dispatch()
        self._name = "" if behind == self._first_name else behind
        return ended

    def _dispatch(self) -> Event | None:
        data, name = b"\n".join(self._data), self._name
        spoke = bool(self._data)
        self._data, self._size, self._name = [], 0, ""
        if not spoke:
            return None
        # Data that say nothing keep a connection alive, as comments do.
        return Event(data, name) if data.strip() else COMMENT
