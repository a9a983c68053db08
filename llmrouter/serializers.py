"""JSON -> `Chat`: the shape of it, and nothing of rights, money or state. By hand, because it is the chat's path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.translation import gettext_lazy as _

from .bodies import parsed_json
from .errors import InvalidChat
from .normalised import growth
from .offered import left_aside, refuse_what_is_not_sold
from .types import Chat, Message

DEFAULT_MODEL = "gpt-4o"
DEFAULT_MAX_TOKENS = 2000
DEFAULT_TEMPERATURE = 0.7
# What this door does not sell: tools have their place in /v1/chat/completions.
V2_ONLY: dict[str, tuple[Any, ...]] = {"tools": (), "functions": ()}
V2_READ = ("model", "prompt", "messages", "max_tokens", "temperature", "stream", "n", *V2_ONLY)
ROLES = ("system", "developer", "user", "assistant", "tool")


# A question has fewer parts than these; more of them would hold up a whole worker while they are looked at.
MOST_MESSAGES = 2000
MOST_PARTS = 2000
BIG_BODY = 256 * 1024
MOST_BRACKETS, MOST_COMMAS = 100_000, 1_000_000
# The encoder's own limit is 254; what goes upstream is nested a little deeper than what came.
MARGIN_OF_DEPTH = 6


def parse_object(body: bytes) -> dict[str, Any]:
    if len(body) > BIG_BODY and (body.count(b"{") + body.count(b"[") > MOST_BRACKETS or body.count(b",") > MOST_COMMAS):
        raise InvalidChat(_("the body has too many parts"))
    try:
        parsed = parsed_json(body)
    except orjson.JSONDecodeError as error:
        raise InvalidChat(
            _("the body is not JSON (line %(line)s, column %(column)s)"), line=error.lineno, column=error.colno
        ) from error
    if not isinstance(parsed, dict):
        raise InvalidChat(_("the body must be a JSON object"))
    return parsed


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of a value as JSON, and by how many more it can be longer once it is normalised."""

    size: int
    growth: int

    @property
    def most(self) -> int:
        return self.size + self.growth


def weight(value: Any) -> Weight:
    """Refuses nesting too deep to be sent on."""
    for _level in range(MARGIN_OF_DEPTH):
        value = [value]
    try:
        text = orjson.dumps(value)
        return Weight(len(text) - 2 * MARGIN_OF_DEPTH, growth(text))
    except orjson.JSONEncodeError as error:
        raise InvalidChat(_("the body is nested too deeply")) from error


def layout(schemas: list[Any]) -> int:
    """Tokens that a provider can add where it prints schemas again with line breaks: one before each part of a list or
    an object, and one before its end. `[1,1,1]` has fewer bytes than that has tokens."""
    if not any(schemas):
        return 0
    text = orjson.dumps(schemas)
    return sum(text.count(mark) for mark in (b",", b"[", b"{", b"]", b"}"))


def parse_v2(body: bytes) -> Chat:
    """The body of `POST /api/v2/chat`."""
    given = parse_object(body)
    refuse_many(given)
    refuse_what_is_not_sold(given, V2_ONLY)
    messages = v2_messages(given)
    parameters = {"temperature": number(given, "temperature", 0, 2, default=DEFAULT_TEMPERATURE)}
    weighed = weight(messages)
    return Chat(
        model=text(given, "model", default=DEFAULT_MODEL),
        messages=messages,
        max_tokens=whole(given, "max_tokens", default=DEFAULT_MAX_TOKENS),
        parameters=parameters,
        input_bytes=weighed.size,
        growth=weighed.growth,
        stream=flag(given, "stream"),
        left_aside=left_aside(given, V2_READ),
    )


def v2_messages(given: Mapping[str, Any]) -> list[Message]:
    """`prompt`, or `messages`; one of the two."""
    prompt, messages = given.get("prompt"), given.get("messages")
    if (prompt is None) == (messages is None):
        raise InvalidChat(_("send either prompt or messages"), "prompt")
    if messages is not None:
        return plain_messages(messages)
    if not isinstance(prompt, str):
        raise InvalidChat(_("%(field)s must be text"), "prompt")
    if not prompt.strip():
        raise InvalidChat(_("%(field)s is empty"), "prompt")
    return [{"role": "user", "content": prompt}]


def plain_messages(messages: Any) -> list[Message]:
    if not isinstance(messages, list) or not messages:
        raise InvalidChat(_("%(field)s must be a list that is not empty"), "messages")
    if len(messages) > MOST_MESSAGES:
        raise InvalidChat(_("%(field)s may hold %(most)s at most"), "messages", most=MOST_MESSAGES)
    return [plain_message(message, f"messages[{place}]") for place, message in enumerate(messages)]


def plain_message(message: Any, where: str) -> Message:
    if not isinstance(message, dict) or message.get("role") not in ROLES[:4]:
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), f"{where}.role", allowed=", ".join(ROLES[:4]))
    content = message.get("content")
    if not content and message["role"] == "assistant":
        # An answer of ours that was a refusal, or had no words.
        content = refusal if isinstance(refusal := message.get("refusal"), str) else ""
    # An assistant may have had nothing to say; who asks has to.
    if not isinstance(content, str) or not (content.strip() or message["role"] == "assistant"):
        raise InvalidChat(_("%(field)s must be text that is not empty"), f"{where}.content")
    role = "system" if message["role"] == "developer" else message["role"]
    return {"role": role, "content": content}


def refuse_many(given: Mapping[str, Any]) -> None:
    if given.get("n") not in (None, 1):
        raise InvalidChat(_("%(field)s must be 1"), "n")


def text(given: Mapping[str, Any], name: str, *, default: str) -> str:
    value = default if given.get(name) is None else given[name]
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise InvalidChat(_("%(field)s must be a text of 1 to 128 characters"), name)
    return value


def whole(given: Mapping[str, Any], name: str, *, default: int) -> int:
    value = given.get(name)
    if value is None:
        return default
    if (found := as_integer(value)) is None or found < 1:
        raise InvalidChat(_("%(field)s must be a whole number from 1"), name)
    return found


def as_integer(value: Any) -> int | None:
    """A whole number, `100.0` too: JSON knows no other kind of number, and Lua, Go and PHP write it so."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(given: Mapping[str, Any], name: str, least: float, most: float, *, default: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise InvalidChat(_("%(field)s must be a number from %(least)s to %(most)s"), name, least=least, most=most)
    return value


def flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidChat(_("%(field)s must be true or false"), name)
    return bool(value)
