"""The messages of a request: what was said before. An answer that we gave ourselves is taken back as it was given."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.utils.translation import gettext_lazy as _

from ..errors import InvalidChat
from ..serializers import MOST_MESSAGES, MOST_PARTS, weight
from ..types import BESIDE_A_CALL, THOUGHTS, Message

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def messages_of(given: Mapping[str, Any]) -> list[Message]:
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidChat(_("%(field)s must be a list that is not empty"), "messages")
    if len(messages) > MOST_MESSAGES or parts_in(messages) > MOST_PARTS:
        raise InvalidChat(_("%(field)s may hold %(most)s at most"), "messages", most=MOST_MESSAGES)
    found = [message_of(message, f"messages[{place}]") for place, message in enumerate(messages)]
    give_ids(found)
    return list(found)


def parts_in(messages: list[Any]) -> int:
    """Of all messages together; counted before they are looked at one by one."""
    found = 0
    for message in messages:
        if isinstance(message, dict):
            for field in ("content", "tool_calls", "reasoning_details"):
                found += len(value) if isinstance(value := message.get(field), list) else 0
    return found


def message_of(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), f"{where}.role", allowed=", ".join(ROLES[:5]))
    role = message["role"]
    if role == "assistant":
        return assistant(message, where)
    given = message.get("content")
    content = None if given == [] and role in ("tool", "function") else content_of(given, f"{where}.content")
    if content is None and role in ("tool", "function"):
        # A function that returns nothing.
        content = ""
    if content is None:
        raise InvalidChat(_("%(field)s must be text that is not empty"), f"{where}.content")
    if role in ("tool", "function"):
        return {"role": "tool", "content": content, **name_of(message, role), "tool_call_id": id_in(message)}
    # Providers other than OpenAI do not know `developer`.
    return {"role": "system" if role == "developer" else role, "content": content, **name_of(message, role)}


def name_of(message: Mapping[str, Any], role: str) -> dict[str, str]:
    """The name of 2023's role `function` is that of the function, which a tool's answer does not repeat."""
    name = message.get("name")
    return {"name": name} if isinstance(name, str) and name and role != "function" else {}


def assistant(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    # LangChain writes an empty list where there are only calls.
    content = None if (given := message.get("content")) == [] else content_of(given, f"{where}.content")
    if not content and isinstance(message.get("refusal"), str):
        # Only OpenAI knows this field; as text everybody reads that the model declined.
        content = message["refusal"]
    found = {"role": "assistant", "content": content, **name_of(message, "assistant"), **thoughts_of(message)}
    if calls := calls_of(message, where):
        found["tool_calls"] = calls
    elif content is None:
        # It only thought, or said nothing: providers refuse null where there is no call of a tool.
        found["content"] = ""
    return found


def thoughts_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Thoughts and their signatures, word for word: a provider takes them back as it gave them, or not at all."""
    return {
        name: value
        for name, kind in THOUGHTS.items()
        if (value := message.get(name)) and isinstance(value, kind) and all_objects(value)
    }


def all_objects(value: Any) -> bool:
    """Of a list; anything else is no list of something strange."""
    return not isinstance(value, list) or all(isinstance(part, dict) for part in value)


# Content


def content_of(content: Any, where: str) -> Any:
    if content is None or isinstance(content, str):
        return content
    return [part_of(part, f"{where}[{place}]") for place, part in enumerate(listed(content, where))]


def part_of(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"], **cache_mark(part)}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": part["refusal"]}
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


def image_urls(messages: list[Message]) -> list[str]:
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def listed(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InvalidChat(_("%(field)s must be a list that is not empty"), where)
    return value


# Calls of tools


def calls_of(message: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Its calls of tools; the one of 2023's `function_call` too."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise InvalidChat(_("%(field)s must be a list that is not empty"), f"{where}.tool_calls")
    if not calls and (function := message.get("function_call")):
        return [tool_call({"function": function}, f"{where}.function_call")]
    return [tool_call(call, f"{where}.tool_calls[{place}]") for place, call in enumerate(calls)]


def tool_call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidChat(_("%(field)s must be text"), f"{where}.function.name")
    return {
        "id": id_in(call, "id"),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments_of(function.get("arguments"))},
        **{name: call[name] for name, kind in BESIDE_A_CALL.items() if call.get(name) and isinstance(call[name], kind)},
    }


def arguments_of(arguments: Any) -> str:
    """Text that is JSON, as OpenAI has it; some clients keep the object that they read from it."""
    if arguments is None:
        return "{}"
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    weight(arguments)
    return orjson.dumps(arguments).decode()


def id_in(holder: Mapping[str, Any], name: str = "tool_call_id") -> str:
    """Empty where there is none. Some clients number their calls."""
    found = holder.get(name)
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def give_ids(messages: list[dict[str, Any]]) -> None:
    """Calls and the answers of tools find each other by ids. Where a side has none (as in 2023), the order tells: the
    first answer without a call is that of the first call without an answer."""
    calls: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            name_calls(calls, place)
            calls = list(message.get("tool_calls", ()))
        elif message["role"] == "tool":
            answer_a_call(message, calls, f"messages[{place}]")
    name_calls(calls, len(messages))


def answer_a_call(answer: dict[str, Any], calls: list[dict[str, Any]], where: str) -> None:
    """Take the call that it answers off the list of those that wait."""
    given = answer["tool_call_id"]
    call = next((call for call in calls if given and call["id"] == given), None)
    if call is None:
        call = next((call for call in calls if not (given and call["id"])), None)
    if call is None:
        if not given:
            raise InvalidChat(_("%(field)s must be text"), f"{where}.tool_call_id")
        return
    calls.remove(call)
    call["id"] = answer["tool_call_id"] = given or call["id"] or made_id(where)


def name_calls(calls: list[dict[str, Any]], place: int) -> None:
    for number, call in enumerate(calls):
        call["id"] = call["id"] or made_id(f"messages[{place}].{number}")


def made_id(where: str) -> str:
    """The same for the same place of the same conversation, so that providers find it in their cache."""
    return "call_" + "".join(character for character in where if character.isalnum())


# What it weighs


def without_thoughts(message: Message) -> Message:
    """The message as it goes to a provider that knows no thoughts."""
    bare = {name: value for name, value in message.items() if name not in THOUGHTS}
    if "tool_calls" in bare:
        bare["tool_calls"] = [without_signature(call) for call in bare["tool_calls"]]
    return bare


def without_signature(call: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in call.items() if name not in BESIDE_A_CALL}


def weight_of_thoughts(messages: list[Message]) -> dict[str, int]:
    """Bytes of JSON by field: each provider is sent, and paid for, those only that it knows."""
    found: dict[str, int] = {}
    for message in messages:
        if message["role"] != "assistant":
            continue
        for name in THOUGHTS.keys() & message.keys():
            found[name] = found.get(name, 0) + weight({name: message[name]}).most
        for call in message.get("tool_calls", ()):
            if beside := {name: call[name] for name in BESIDE_A_CALL if name in call}:
                found["extra_content"] = found.get("extra_content", 0) + weight(beside).most
    return found
