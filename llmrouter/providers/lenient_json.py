"""JSON as some providers write it: with a byte order mark, NaN, raw control characters, or half of a character.

Tokenizers split characters, and some servers send each token as its own event: one half of an emoji's pair of
surrogates, or one byte of an Arabic letter. `Halves` puts the halves of two events together.
"""

import codecs
import json
import re
from collections.abc import Hashable
from typing import Any

import orjson

from ..errors import Unclear

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SURROGATE = re.compile("[\ud800-\udfff]")
# Surrogates that stand for no byte. Python reads a byte that is not UTF-8 as one of U+DC80 to U+DCFF (PEP 383).
NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
REPLACEMENT = "�"
MOST_BYTES_HELD = 3
MOST_DIGITS = 18
# Nothing in an answer is nested as deeply; encoders and the interpreter give up at some hundreds.
DEEPEST = 64


def loads(data: bytes) -> tuple[Any, bool]:
    """The value, and whether its texts may hold halves of characters. Raises `Unclear`."""
    # DeepSeek keeps a connection alive with blank lines before the body.
    text = data.strip().removeprefix(BYTE_ORDER_MARK)
    try:
        return orjson.loads(text), False
    except orjson.JSONDecodeError:
        return _loads_slowly(text), True


def _loads_slowly(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8", "surrogateescape"), strict=False, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise Unclear("unreadable") from error


def _integer(digits: str) -> int | float:
    """No encoder of ours writes more than 64 bits."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def without_halves(value: Any, depth: int = DEEPEST) -> Any:
    """The same with whole characters only. Raises `Unclear`."""
    if not depth:
        raise Unclear("unreadable")
    if isinstance(value, str):
        return mended(paired(value)) if SURROGATE.search(value) else value
    if isinstance(value, list):
        return [without_halves(part, depth - 1) for part in value]
    if isinstance(value, dict):
        return {without_halves(name): without_halves(part, depth - 1) for name, part in value.items()}
    return value


def is_flat(value: Any, depth: int = DEEPEST) -> bool:
    """Whether it is not nested too deeply to be sent on."""
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or (depth > 0 and all(is_flat(part, depth - 1) for part in value))


class Halves:
    """The texts of one stream, each under the name of its field. What is half at the end of one event waits for the
    next."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, str] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, field: Hashable, text: str) -> str:
        text = paired(self._waiting.pop(field, "") + text)
        held = _half_at_the_end(text)
        if held:
            self._waiting[field] = text[-held:]
            text = text[:-held]
        return mended(text)

    def rest(self, field: Hashable) -> str:
        """Its half that never became a character."""
        return REPLACEMENT if self._waiting.pop(field, "") else ""


def paired(text: str) -> str:
    """With the two surrogates of a pair as their one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def mended(text: str) -> str:
    """Bytes that stand as surrogates become the text that they are; what is no character becomes U+FFFD."""
    return NO_BYTE.sub(REPLACEMENT, text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _half_at_the_end(text: str) -> int:
    """How many characters at the end are the first half of one."""
    if "\ud800" <= text[-1:] <= "\udbff":
        return 1
    for held in range(1, MOST_BYTES_HELD + 1):
        if len(text) >= held and _is_first_half(text[-held:]):
            return held
    return 0


def _is_first_half(text: str) -> bool:
    try:
        return codecs.utf_8_decode(text.encode("ascii", "surrogateescape"), "strict", False) == ("", 0)
    except UnicodeError:
        return False
