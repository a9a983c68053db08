"""The body of `POST /v1/chat/completions` -> `Chat`. A field that we do not know is not refused: the answer names it.

What goes upstream is on lists here, field by field: a caller must not choose models, providers, plugins or service
tiers for us, nor a cache that costs more than was held.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from ..errors import InvalidChat
from ..offered import (
    ONLY,
    THINKING_FLAGS,
    effort_of,
    hides_thoughts,
    left_aside,
    one_of,
    plain_effort,
    refuse_what_is_not_sold,
)
from ..serializers import as_integer, flag, layout, number, parse_object, refuse_many, text, weight, whole
from ..types import Chat
from .history import image_urls, messages_of, weight_of_thoughts, without_thoughts
from .tools import drop_nulls, modern, settle_choice, tool_choice, tools

MOST_STOPS = 16
MOST_BITS = 63
# The last is that of OpenAI's Responses.
CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
LONGEST_USER = 64
# Refused by providers where there are no tools.
ABOUT_TOOLS = ("tool_choice", "parallel_tool_calls")


def parse_v1(body: bytes) -> Chat:
    given = parse_object(body)
    refuse_many(given)
    refuse_what_is_not_sold(given)
    parameters = parameters_of(modern(given))
    messages = messages_of(given)
    urls = image_urls(messages)
    bare = [without_thoughts(message) for message in messages]
    weighed = weight([bare, parameters.get("tools"), parameters.get("response_format")])
    options = given.get("stream_options")
    return Chat(
        model=text(given, "model", default=""),
        messages=messages,
        max_tokens=cap_of(given),
        parameters=parameters,
        input_bytes=weighed.size - sum(len(url.encode()) for url in urls),
        growth=weighed.growth + layout([parameters.get("tools"), parameters.get("response_format")]),
        thought_bytes=weight_of_thoughts(messages),
        images=len(urls),
        stream=flag(given, "stream"),
        stream_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        calls_functions=bool(given.get("functions")),
        hides_thoughts=hides_thoughts(given),
        left_aside=left_aside(given, READ),
    )


def cap_of(given: Mapping[str, Any]) -> int | None:
    """Under any of its names; the newer one of this API wins."""
    for name in CAPS:
        if given.get(name) is not None:
            return whole(given, name, default=1)
    return None


# Parameters


def parameters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something: some clients send an empty text or list for a field that they do not use."""
    found = {name: check(given, name) for name, check in PARAMETERS.items() if given.get(name) not in (None, "", [])}
    found |= effort_of(given)
    if "tools" not in found:
        return {name: found[name] for name in found if name not in ABOUT_TOOLS}
    settle_choice(found)
    return found


def stops(given: Mapping[str, Any], name: str) -> Any:
    value = given[name]
    several = value if isinstance(value, list) else [value]
    if len(several) > MOST_STOPS or not all(isinstance(stop, str) for stop in several):
        raise InvalidChat(_("%(field)s must be text, or a list of texts"), name)
    return value


def response_format(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given[name]
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_object" and value.get("schema"):
        # Together, Fireworks and llama.cpp have the schema here.
        if not isinstance(value["schema"], dict):
            raise InvalidChat(_("%(field)s must be an object"), f"{name}.schema")
        drop_nulls(value["schema"])
        return {"type": "json_schema", "json_schema": {"name": "response", "schema": value["schema"]}}
    if kind in ("text", "json_object"):
        return {"type": kind}
    if kind == "json_schema" and isinstance(value.get("json_schema"), dict):
        drop_nulls(value["json_schema"])
        return {"type": kind, "json_schema": value["json_schema"]}
    raise InvalidChat(
        _("%(field)s must be one of: %(allowed)s"), f"{name}.type", allowed="text, json_object, json_schema"
    )


def between(least: float, most: float) -> Callable[[Mapping[str, Any], str], float]:
    return lambda given, name: number(given, name, least, most, default=0)


def integer(given: Mapping[str, Any], name: str) -> int:
    value = as_integer(given[name])
    # No encoder of ours writes more than 64 bits.
    if value is None or value.bit_length() > MOST_BITS:
        raise InvalidChat(_("%(field)s must be a whole number"), name)
    return value


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
    "logit_bias": biases,
    "logprobs": flag,
    "top_logprobs": integer,
    "reasoning_effort": lambda given, name: plain_effort(given[name], name),
    # What few providers know: `registry.toml` names those (`takes`).
    "verbosity": one_of("low", "medium", "high"),
    "top_k": integer,
    "min_p": between(0, 1),
    "repetition_penalty": between(0, 2),
    "prompt_cache_key": user,
    "safety_identifier": user,
}
# Fields that mean something here, whether or not they go upstream.
READ = frozenset(
    (
        *("model", "messages", *CAPS, "stream", "stream_options", "n"),
        *("functions", "function_call", "reasoning", "include_reasoning", "thinking", *THINKING_FLAGS),
        *ONLY,
        *PARAMETERS,
    )
)
