"""The tools of a request, in all the forms that OpenAI ever had for them, as the one that providers know."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from ..errors import InvalidChat
from .history import listed

MOST_TOOLS = 128
# Other words for a choice: Mistral's and Anthropic's.
CHOICE_WORDS = {"none": "none", "auto": "auto", "required": "required", "any": "required"}
CHOICES = "none, auto, required, {function}, {allowed_tools}"
KEPT = ("name", "description", "parameters", "strict")
# In a JSON schema null is a value under these, and nothing anywhere else.
MAY_BE_NULL = frozenset({"default", "const", "enum", "example", "examples"})


def tools(given: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = listed(given[name], name)
    if len(found) > MOST_TOOLS:
        raise InvalidChat(_("%(field)s may hold %(most)s at most"), name, most=MOST_TOOLS)
    return [tool(entry, f"{name}[{place}]") for place, entry in enumerate(found)]


def tool(entry: Any, where: str) -> dict[str, Any]:
    if not isinstance(entry, dict) or entry.get("type") not in (None, "function"):
        # Searches, files, computers, custom grammars: bought apart, or known to OpenAI alone.
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), f"{where}.type", allowed="function")
    # Without `function` around it: as OpenAI's Responses have it.
    flat = "function" not in entry and "name" in entry
    return tool_of(entry if flat else entry.get("function"), where if flat else f"{where}.function")


def tool_of(function: Any, where: str) -> dict[str, Any]:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidChat(_("%(field)s must be text"), f"{where}.name")
    if (schema := function.get("input_schema")) and not function.get("parameters"):
        # Anthropic's form of a tool, which Cursor sends to any address.
        function = {**function, "parameters": schema}
    if not isinstance(function.get("parameters") or {}, dict):
        raise InvalidChat(_("%(field)s must be an object"), f"{where}.parameters")
    kept = {field: function[field] for field in KEPT if function.get(field) is not None}
    if "parameters" in kept:
        drop_nulls(kept["parameters"])
    return {"type": "function", "function": kept}


def drop_nulls(schema: dict[str, Any]) -> None:
    """Serializers write null for what was not set, and providers refuse it. In place, and without recursion: what comes
    in may be nested more deeply than Python's stack."""
    todo: list[Any] = [schema]
    while todo:
        here = todo.pop()
        if isinstance(here, list):
            todo += here
        elif isinstance(here, dict):
            for field in [field for field, value in here.items() if value is None and field not in MAY_BE_NULL]:
                del here[field]
            todo += [value for field, value in here.items() if field not in MAY_BE_NULL]


def tool_choice(given: Mapping[str, Any], name: str) -> Any:
    value = given[name]
    kind = value.get("type") if isinstance(value, dict) else value
    if isinstance(kind, str) and kind in CHOICE_WORDS:
        return CHOICE_WORDS[kind]
    if isinstance(value, dict) and kind == "allowed_tools":
        return allowed(value, name)
    chosen = name_in(value) if kind in (None, "function", "tool") else None
    if chosen is None:
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), name, allowed=CHOICES)
    return {"type": "function", "function": {"name": chosen}}


def name_in(entry: Any) -> str | None:
    """The name in `{"function": {"name"}}`, or in `{"name"}`."""
    if not isinstance(entry, dict):
        return None
    function = entry.get("function", entry)
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def allowed(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    inner = value.get("allowed_tools", value)
    inner = inner if isinstance(inner, dict) else {}
    if inner.get("mode", "auto") not in ("auto", "required"):
        where = f"{name}.allowed_tools.mode"
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), where, allowed="auto, required")
    names = [name_in(entry) for entry in listed(inner.get("tools"), f"{name}.allowed_tools.tools")]
    return {"mode": inner.get("mode", "auto"), "names": names}


def settle_choice(found: dict[str, Any]) -> None:
    """Where only some tools are allowed, only those are sent: few providers know `allowed_tools`."""
    choice = found.get("tool_choice")
    if not isinstance(choice, dict):
        return
    there = {tool["function"]["name"] for tool in found["tools"]}
    names = choice["names"] if "names" in choice else [choice["function"]["name"]]
    if unknown := [name for name in names if name not in there]:
        raise InvalidChat(_("%(field)s names a tool that is not there: %(name)s"), "tool_choice", name=unknown[0])
    if "names" in choice:
        found["tools"] = [tool for tool in found["tools"] if tool["function"]["name"] in names]
        found["tool_choice"] = choice["mode"]


def modern(given: dict[str, Any]) -> dict[str, Any]:
    """`functions` and `function_call` of 2023 as tools. One call at a time: an answer of then has place for one."""
    functions = given.get("functions")
    if not functions:
        return given
    if given.get("tools"):
        raise InvalidChat(_("send either tools or functions"), "functions")
    found = listed(functions, "functions")
    return {
        **given,
        "tools": [tool_of(entry, f"functions[{place}]") for place, entry in enumerate(found)],
        "tool_choice": choice_of_2023(given.get("function_call")),
        "parallel_tool_calls": False,
    }


def choice_of_2023(value: Any) -> Any:
    if value in (None, "", "auto", "none"):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), "function_call", allowed="none, auto, {name}")
    return {"type": "function", "function": {"name": value["name"]}}
