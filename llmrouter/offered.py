"""Which fields of a request we sell, and what becomes of the others: docs/clients.md has the table.

A field that changes what is bought is passed on, mapped or refused by its name. One that changes nothing of it may be
left aside, and the answer's header says so.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.plain import is_plain

from .errors import InvalidChat

UNUSED: tuple[Any, ...] = (None, "", False, [], {})
# Names in the header, and the length of each.
MOST_NAMES, LONGEST_NAME = 20, 40
# To think, without a word on how much; and what it then comes to.
ON, MEDIUM = "on", "medium"
THINKING_FLAGS = ("enable_thinking", "thinking_budget", "chat_template_kwargs")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
# A budget of thoughts in tokens, and the effort that comes nearest to it.
EFFORT_BY_TOKENS = ((1024, "low"), (8192, "medium"))

# field -> the values that ask for what we sell anyway. Searches, voices, faster or slower classes of service and
# predictions are billed apart, by rates that no ceiling of ours holds.
ONLY: dict[str, tuple[Any, ...]] = {
    "service_tier": ("auto", "default", "standard"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "search_parameters": (),
    "enable_search": (),
    "best_of": (1,),
    "prompt_cache_retention": ("in_memory", "in-memory"),
    "deferred": (),
    "background": (),
}


def refuse_what_is_not_sold(given: Mapping[str, Any], only: Mapping[str, tuple[Any, ...]] = ONLY) -> None:
    for name, allowed in only.items():
        value = given.get(name)
        # An empty `web_search_options` is how a search is ordered.
        unused = value is None if name == "web_search_options" else value in UNUSED
        if unused or value in allowed:
            continue
        if allowed:
            listed = ", ".join(str(value) for value in allowed)
            raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), name, allowed=listed)
        raise InvalidChat(_("%(field)s is not offered here"), name)


def left_aside(given: Mapping[str, Any], read: Container[str]) -> tuple[str, ...]:
    """The fields that say something and change nothing, by names that a header can carry."""
    names = [name for name, value in given.items() if name not in read and value not in UNUSED]
    plain = [name for name in names if is_plain(name) and "," not in name and len(name) <= LONGEST_NAME]
    return tuple(plain[:MOST_NAMES])


# Thinking, by its other names


def effort_of(given: Mapping[str, Any]) -> dict[str, str]:
    """`reasoning_effort`, as OpenRouter (`reasoning`), Anthropic and DeepSeek (`thinking`) and Qwen have it too."""
    found = [
        (name, effort)
        for name, read in (
            ("reasoning_effort", plain_effort),
            ("reasoning", effort_in_reasoning),
            ("thinking", effort_in_thinking),
            ("enable_thinking", effort_in_flag),
            ("thinking_budget", effort_for),
            ("chat_template_kwargs", effort_in_template),
        )
        if given.get(name) not in (None, "", {}) and (effort := read(given[name], name)) is not None
    ]
    # DeepSeek's clients say beside `thinking: enabled` how much: the one agrees with the other.
    says_how_much = bool({effort for _name, effort in found} - {ON, "none"})
    found = [(name, MEDIUM if effort == ON else effort) for name, effort in found if effort != ON or not says_how_much]
    if len({effort for _name, effort in found}) > 1:
        raise InvalidChat(_("%(field)s says something else than %(other)s"), found[1][0], other=found[0][0])
    return {"reasoning_effort": found[0][1]} if found else {}


def plain_effort(value: Any, name: str) -> str:
    if value not in EFFORTS:
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), name, allowed=", ".join(EFFORTS))
    return str(value)


def effort_in_reasoning(value: Any, name: str) -> str | None:
    if not isinstance(value, dict):
        raise InvalidChat(_("%(field)s must be an object"), name)
    if value.get("effort") is not None:
        return plain_effort(value["effort"], f"{name}.effort")
    if value.get("max_tokens") is not None:
        return effort_for(value["max_tokens"], f"{name}.max_tokens")
    return None if value.get("enabled") is None else effort_in_flag(value["enabled"], f"{name}.enabled")


def effort_in_thinking(value: Any, name: str) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("enabled", "adaptive", "auto", "disabled"):
        allowed = "enabled, adaptive, disabled"
        raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), f"{name}.type", allowed=allowed)
    if kind == "disabled":
        return "none"
    budget = value.get("budget_tokens")
    return ON if budget is None else effort_for(budget, f"{name}.budget_tokens")


def effort_in_template(value: Any, name: str) -> str | None:
    """How vLLM and SGLang are told whether to think."""
    if not isinstance(value, dict):
        raise InvalidChat(_("%(field)s must be an object"), name)
    given = [flag for flag in value if value[flag] is not None]
    if unknown := [flag for flag in given if flag not in ("enable_thinking", "thinking")]:
        raise InvalidChat(_("%(field)s is not offered here"), f"{name}.{unknown[0]}")
    return effort_in_flag(value[given[0]], f"{name}.{given[0]}") if given else None


def effort_in_flag(value: Any, name: str) -> str:
    if not isinstance(value, bool):
        raise InvalidChat(_("%(field)s must be true or false"), name)
    return ON if value else "none"


def effort_for(budget: Any, name: str) -> str:
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
        raise InvalidChat(_("%(field)s must be a whole number from 1"), name)
    if not budget:
        return "none"
    return next((effort for most, effort in EFFORT_BY_TOKENS if budget <= most), "high")


def hides_thoughts(given: Mapping[str, Any]) -> bool:
    """Whether the caller wants the answer without the thoughts before it: OpenRouter's `reasoning.exclude`, and
    `include_reasoning`, its older name."""
    reasoning = given.get("reasoning")
    excluded = isinstance(reasoning, dict) and reasoning.get("exclude") is True
    return excluded or given.get("include_reasoning") is False


Check = Callable[[Mapping[str, Any], str], Any]


def one_of(*allowed: str) -> Check:
    def check(given: Mapping[str, Any], name: str) -> str:
        if given[name] not in allowed:
            raise InvalidChat(_("%(field)s must be one of: %(allowed)s"), name, allowed=", ".join(allowed))
        return str(given[name])

    return check
