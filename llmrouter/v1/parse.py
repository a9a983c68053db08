"""The body of `POST /v1/chat/completions` -> `Chat`. What clients send and we do not know is ignored, never refused.

What goes upstream is on lists here, field by field: a caller must not choose models, providers, plugins or service
tiers for us, nor a cache that costs more than was held.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from ..errors import InvalidChat
from ..serializers import MOST_MESSAGES, MOST_PARTS, flag, number, parse_object, refuse_many, text, weight, whole
from ..types import Chat, Message

ROLES = ("system", "developer", "user", "assistant", "tool")
MOST_TOOLS = 128
MOST_STOPS = 16
LONGEST_USER = 64
# Refused by providers where there are no tools.
ABOUT_TOOLS = ("tool_choice", "parallel_tool_calls")


def parse_v1(body: bytes) -> Chat:
    given = parse_object(body)
    refuse_many(given)
    messages = messages_of(given)
    parameters = parameters_of(given)
    weighed = [messages, parameters.get("tools"), parameters.get("response_format")]
    options = given.get("stream_options")
    return Chat(
        model=text(given, "model", default=""),
        messages=messages,
        max_tokens=cap_of(given),
        parameters=parameters,
        input_bytes=weight(weighed) - sum(len(url.encode()) for url in image_urls(messages)),
        images=len(image_urls(messages)),
        stream=flag(given, "stream"),
        stream_usage=isinstance(options, dict) and bool(options.get("include_usage")),
    )


def cap_of(given: Mapping[str, Any]) -> int | None:
    """Under either of its names; the newer one wins."""
    for name in ("max_completion_tokens", "max_tokens"):
        if given.get(name) is not None:
            return whole(given, name, default=1)
    return None


# Messages


def messages_of(given: Mapping[str, Any]) -> list[Message]:
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidChat(_("%(field)s must be a list that is not empty"), "messages")
    if len(messages) > MOST_MESSAGES or parts_in(messages) > MOST_PARTS:
        raise InvalidChat(_("%(field)s may hold %(most)s at most"), "messages", most=MOST_MESSAGES)
    return [message_of(message, f"messages[{place}]") for place, message in enumerate(messages)]


def parts_in(messages: list[Any]) -> int:
    """Of all messages together; counted before they are looked at one by one."""
    found = 0
    for message in messages:
        if isinstance(message, dict):
            for field in ("content", "tool_calls"):
                found += len(value) if isinstance(value := message.get(field), list) else 0
    return found


def message_of(message: Any, where: str) -> Message:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), f"{where}.role", allowed=", ".join(ROLES))
    role = message["role"]
    found: dict[str, Any] = {
        # Providers other than OpenAI do not know `developer`.
        "role": "system" if role == "developer" else role,
        "content": content_of(message.get("content"), f"{where}.content"),
    }
    if isinstance(message.get("name"), str):
        found["name"] = message["name"]
    if role == "tool":
        if not isinstance(message.get("tool_call_id"), str):
            raise InvalidChat(_("%(field)s must be text"), f"{where}.tool_call_id")
        found["tool_call_id"] = message["tool_call_id"]
    if role == "assistant" and message.get("tool_calls"):
        found["tool_calls"] = [tool_call(call, where) for call in listed(message["tool_calls"], f"{where}.tool_calls")]
    elif found["content"] is None:
        raise InvalidChat(_("%(field)s must be text that is not empty"), f"{where}.content")
    return found


def content_of(content: Any, where: str) -> Any:
    if content is None or isinstance(content, str):
        return content
    return [part_of(part, f"{where}[{place}]") for place, part in enumerate(listed(content, where))]


def part_of(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"], **cache_mark(part)}
    if kind == "image_url":
        return {"type": "image_url", "image_url": image_of(part.get("image_url"), where), **cache_mark(part)}
    raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), f"{where}.type", allowed="text, image_url")


def image_of(image: Any, where: str) -> dict[str, str]:
    """By URL or data URL. It is the provider that fetches it, never we."""
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
        raise InvalidChat(_("%(field)s must be an http(s) or data URL of an image"), f"{where}.image_url.url")
    detail = image.get("detail") if isinstance(image, dict) else None
    return {"url": url, **({"detail": detail} if detail in ("low", "high", "auto") else {})}


def cache_mark(part: Mapping[str, Any]) -> dict[str, Any]:
    """A wish to cache, at the ordinary price of it: the long-lived kind costs more than was reckoned with."""
    return {"cache_control": {"type": "ephemeral"}} if isinstance(part.get("cache_control"), dict) else {}


def tool_call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidChat(_("%(field)s must be text"), f"{where}.tool_calls[].function.name")
    arguments = function.get("arguments")
    return {
        "id": str(call.get("id", "")),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments if isinstance(arguments, str) else "{}"},
    }


def image_urls(messages: list[Message]) -> list[str]:
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


# Parameters


def parameters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something: some clients send an empty text or list for a field that they do not use."""
    found = {name: check(given, name) for name, check in PARAMETERS.items() if given.get(name) not in (None, "", [])}
    return found if "tools" in found else {name: found[name] for name in found if name not in ABOUT_TOOLS}


def stops(given: Mapping[str, Any], name: str) -> Any:
    value = given[name]
    several = value if isinstance(value, list) else [value]
    if len(several) > MOST_STOPS or not all(isinstance(stop, str) for stop in several):
        raise InvalidChat(_("%(field)s must be text, or a list of texts"), name)
    return value


def tools(given: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = listed(given[name], name)
    if len(found) > MOST_TOOLS:
        raise InvalidChat(_("%(field)s may hold %(most)s at most"), name, most=MOST_TOOLS)
    return [tool(entry, f"{name}[{place}]") for place, entry in enumerate(found)]


def tool(entry: Any, where: str) -> dict[str, Any]:
    function = entry.get("function") if isinstance(entry, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidChat(_("%(field)s must be text"), f"{where}.function.name")
    if not isinstance(function.get("parameters") or {}, dict):
        raise InvalidChat(_("%(field)s must be an object"), f"{where}.function.parameters")
    kept = {field: function[field] for field in ("name", "description", "parameters", "strict") if field in function}
    return {"type": "function", "function": kept}


def tool_choice(given: Mapping[str, Any], name: str) -> Any:
    value = given[name]
    if value in ("none", "auto", "required"):
        return value
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), name, allowed="none, auto, required, {function}")
    return {"type": "function", "function": {"name": function["name"]}}


def response_format(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given[name]
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("text", "json_object"):
        return {"type": kind}
    if kind == "json_schema" and isinstance(value.get("json_schema"), dict):
        return {"type": kind, "json_schema": value["json_schema"]}
    raise InvalidChat(
        _("%(field)s must be one of: %(allowed)s"), f"{name}.type", allowed="text, json_object, json_schema"
    )


def listed(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InvalidChat(_("%(field)s must be a list that is not empty"), where)
    return value


def between(least: float, most: float) -> Callable[[Mapping[str, Any], str], float]:
    return lambda given, name: number(given, name, least, most, default=0)


def integer(given: Mapping[str, Any], name: str) -> int:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidChat(_("%(field)s must be a whole number"), name)
    return value


def effort(given: Mapping[str, Any], name: str) -> str:
    allowed = ("none", "minimal", "low", "medium", "high", "xhigh")
    if given[name] not in allowed:
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), name, allowed=", ".join(allowed))
    return str(given[name])


def user(given: Mapping[str, Any], name: str) -> str:
    """An id that means something to its sender only, so as much of it as all providers take."""
    if not isinstance(given[name], str):
        raise InvalidChat(_("%(field)s must be text"), name)
    return str(given[name][:LONGEST_USER])


def biases(given: Mapping[str, Any], name: str) -> dict[str, float]:
    value = given[name]
    if not isinstance(value, dict) or not all(isinstance(bias, (int, float)) for bias in value.values()):
        raise InvalidChat(_("%(field)s must map tokens to numbers"), name)
    return value


PARAMETERS: dict[str, Callable[[Mapping[str, Any], str], Any]] = {
    "temperature": between(0, 2),
    "top_p": between(0, 1),
    "presence_penalty": between(-2, 2),
    "frequency_penalty": between(-2, 2),
    "stop": stops,
    "seed": integer,
    "user": user,
    "tools": tools,
    "tool_choice": tool_choice,
    "parallel_tool_calls": flag,
    "response_format": response_format,
    "reasoning_effort": effort,
    "logit_bias": biases,
    "logprobs": flag,
    "top_logprobs": integer,
}
