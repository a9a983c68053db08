"""Calls of tools as providers send them -> as OpenAI's clients add them up.

Clients join the parts of a call by `index` and concatenate every text in them. So the first part of each call has its
index, id, type and name; a later part has only more of the arguments; and the arguments are JSON in a text.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from .lenient_json import is_flat, without_halves

EMPTY = "{}"
SIGNS = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
# What stands beside a call and goes on as it came: Gemini refuses a call that comes back without its signature.
EXTRAS = ("extra_content", "thought_signature")


@dataclass(frozen=True, slots=True)
class Part:
    """One entry of `tool_calls`, in plain types."""

    index: str | None
    raw_index: Any
    id: str
    name: str
    arguments: str
    extra: dict[str, Any]


@dataclass(slots=True)
class Call:
    """One call on its way out; `place` is its index there, once it has begun to go out."""

    index: str | None
    given_id: str
    # As it was given.
    raw_index: Any = None
    name: str = ""
    arguments: str = ""
    place: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        """It can be made, and nothing of it has gone out."""
        return bool(self.name) and self.place is None

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are whole JSON."""
        return is_whole_object(self.arguments)


class ToolCalls:
    """The calls of one answer, in the order in which they begin."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._places = 0
        self._ids: set[str] = set()
        # The call that went on last, if it has begun to go out.
        self._last: Call | None = None

    def __bool__(self) -> bool:
        """Whether there is a call that can be made."""
        return any(call.name for call in self._calls)

    def whole(self, given: Any) -> list[dict[str, Any]]:
        """The calls of a whole answer: each entry is one. A call without a name cannot be made, and is left out."""
        for part in parts_of(given):
            self._gather(self._begin(part), part)
        return [{name: value for name, value in call.items() if name != "index"} for call in self.rest()]

    def add(self, given: Any) -> list[dict[str, Any]]:
        """The entries of one delta -> what goes out for them; nothing for what waits for the next delta."""
        if not given:
            return []
        if (out := self._plain(given)) is not None:
            return [out]
        return [out for part in parts_of(given) for out in self._add(part)]

    def _plain(self, given: Any) -> dict[str, Any] | None:
        """What goes out for an entry that has nothing but more arguments of the call that went on last: nearly every
        one."""
        call = self._last
        if call is None or type(given) is not list or len(given) != 1 or type(entry := given[0]) is not dict:
            return None
        function = entry.get("function")
        if len(entry) != 2 or "index" not in entry or entry["index"] != call.raw_index:
            return None
        if type(function) is not dict or len(function) != 1:
            return None
        if type(arguments := function.get("arguments")) is not str or arguments[:1] == "{":
            return None
        call.arguments += arguments
        return {"index": call.place, "function": function}

    def rest(self) -> list[dict[str, Any]]:
        """What still waits at the end of the answer, and `{}` for calls that never got arguments."""
        found = []
        for call in self._calls:
            if call.waits:
                call.arguments = call.arguments or EMPTY
                found.append(self._begun(call))
            elif call.name and not call.arguments:
                call.arguments = EMPTY
                found.append({"index": call.place, "function": {"arguments": EMPTY}})
        return found

    def _add(self, part: Part) -> Iterator[dict[str, Any]]:
        call = self._last = self._continued(part)
        # Calls go out in the order in which they begin.
        yield from [self._begun(other) for other in self._calls if other is not call and other.waits]
        if call is not None and call.place is not None:
            if (out := self._more(call, part)) is not None:
                yield out
            return
        call = call or self._begin(part)
        self._last = None
        self._gather(call, part)
        # Some send `{}` first, in the place of the arguments that follow.
        if call.name and call.arguments != EMPTY:
            yield self._begun(call)

    def _continued(self, part: Part) -> Call | None:
        """The call that a part goes on with; None where it begins one."""
        call = self._candidate(part)
        return None if call is None or _begins_anew(call, part) else call

    def _candidate(self, part: Part) -> Call | None:
        if not self._calls:
            return None
        last = self._calls[-1]
        known = [call for call in self._calls if part.id and call.given_id == part.id]
        if known:
            return next((call for call in reversed(known) if call.index == part.index), known[-1])
        if part.index is None:
            return last
        for call in reversed(self._calls):
            if call.index == part.index:
                return call
        # An index that is new, without a name: some providers number the parts and not the calls.
        return None if part.name or (part.id and last.is_whole) else last

    def _begin(self, part: Part) -> Call:
        call = Call(index=part.index, given_id=part.id, raw_index=part.raw_index)
        self._calls.append(call)
        return call

    def _gather(self, call: Call, part: Part) -> None:
        """Put a part to a call of which nothing has gone out."""
        call.name += _rest_of_name(call, part)
        call.given_id = call.given_id or part.id
        call.extra |= part.extra
        if call.arguments == EMPTY and part.arguments.startswith("{"):
            call.arguments = ""
        call.arguments += part.arguments

    def _more(self, call: Call, part: Part) -> dict[str, Any] | None:
        """What goes out for a part of a call that has begun to go out."""
        if part.arguments and (part.name or part.id or part.arguments in (call.arguments, EMPTY)) and call.is_whole:
            # Some repeat the whole call, or its arguments, at the end of the stream.
            return None
        rest = "" if call.arguments else _rest_of_name(call, part)
        call.name += rest
        call.arguments += part.arguments
        function = {"name": rest, "arguments": part.arguments} if rest else {"arguments": part.arguments}
        return {"index": call.place, "function": function, **part.extra}

    def _begun(self, call: Call) -> dict[str, Any]:
        """The first part of a call."""
        call.place, self._places = self._places, self._places + 1
        function = {"name": call.name, "arguments": call.arguments}
        return {"index": call.place, "id": self._id_of(call), "type": "function", "function": function, **call.extra}

    def _id_of(self, call: Call) -> str:
        """The provider's id; a new one where it gave none, or the same to two calls."""
        found = call.given_id
        if not found or found in self._ids:
            found = f"call_{secrets.token_hex(12)}"
        self._ids.add(found)
        return found


def _rest_of_name(call: Call, part: Part) -> str:
    """What a part adds to the name of its call: all of the name, nothing where it repeats it, or its next letters."""
    return part.name.removeprefix(call.name) if part.name.startswith(call.name) else part.name


def _begins_anew(call: Call, part: Part) -> bool:
    """Whether a part with the id or the index of a call is another call all the same."""
    if not part.name or not call.name:
        return False
    both_have_ids = bool(part.id and call.given_id)
    if both_have_ids and part.id == call.given_id:
        # A repeated id, or one that is given to every call.
        return bool(call.arguments) and (part.name != call.name or (part.index != call.index and call.is_whole))
    if part.name != call.name:
        # Without arguments before it, another name under the same index is the next part of the name.
        return both_have_ids or part.index is None or bool(call.arguments)
    if both_have_ids:
        return call.is_whole or part.index is None
    return call.is_whole and part.arguments != call.arguments


def parts_of(given: Any) -> list[Part]:
    entries = given if isinstance(given, list) else [given]
    return [part_of(entry) for entry in entries if isinstance(entry, dict)]


def part_of(entry: dict[str, Any]) -> Part:
    # Some leave out the object around name and arguments.
    function = entry["function"] if isinstance(entry.get("function"), dict) else entry
    name, index = function.get("name"), entry.get("index")
    return Part(
        raw_index=index,
        index=None if index is None else str(int(index) if isinstance(index, float) and index.is_integer() else index),
        id=text_of_id(entry.get("id")),
        name=name.strip() if isinstance(name, str) else "",
        arguments=arguments_of(function.get("arguments")),
        extra={name: entry[name] for name in EXTRAS if entry.get(name) and is_flat(entry[name])},
    )


def text_of_id(given: Any) -> str:
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    return given if isinstance(given, str) else ""


def arguments_of(given: Any) -> str:
    if given is None:
        return ""
    if isinstance(given, str):
        return given
    return orjson.dumps(without_halves(given)).decode() if is_flat(given) else ""


def is_whole_object(text: str) -> bool:
    """Whether a text begins with a JSON object and holds its end, too. It does not check what lies between."""
    if not text.endswith(("}", "}\n", "} ")) or not text.lstrip().startswith("{"):
        return False
    depth, quoted = 0, False
    for match in SIGNS.finditer(text):
        sign = match[0]
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign in "{[":
            depth += 1
        elif not quoted and sign in "]}":
            depth -= 1
            if depth == 0:
                return True
    return False
