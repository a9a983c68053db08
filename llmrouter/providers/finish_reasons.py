"""Why an answer ended: the words of all providers -> OpenAI's four."""

import re
from typing import Any

from ..errors import Overloaded

STOP, LENGTH, TOOL_CALLS, CONTENT_FILTER = "stop", "length", "tool_calls", "content_filter"

# Keys are in lower case, with `_` for every separator. A word that is not here is read by its parts (`PARTS`), else as
# `stop`.
REASONS: dict[str, str] = {
    "stop": STOP,
    "end_turn": STOP,
    "stop_sequence": STOP,
    "pause_turn": STOP,
    "eos": STOP,
    "eos_token": STOP,
    "complete": STOP,
    "completed": STOP,
    "length": LENGTH,
    "max_tokens": LENGTH,
    "max_output_tokens": LENGTH,
    "max_completion_tokens": LENGTH,
    "max_new_tokens": LENGTH,
    "max_length": LENGTH,
    "max_tokens_reached": LENGTH,
    "token_limit": LENGTH,
    "max_token": LENGTH,
    "output_limit": LENGTH,
    "error_limit": LENGTH,
    "model_length": LENGTH,
    "context_length": LENGTH,
    "context_length_exceeded": LENGTH,
    "model_context_window_exceeded": LENGTH,
    "tool_calls": TOOL_CALLS,
    "tool_call": TOOL_CALLS,
    "tool_use": TOOL_CALLS,
    "tool_uses": TOOL_CALLS,
    "function_call": TOOL_CALLS,
    "function_calls": TOOL_CALLS,
    "content_filter": CONTENT_FILTER,
    "content_filtered": CONTENT_FILTER,
    "content_policy_violation": CONTENT_FILTER,
    "guardrail_intervened": CONTENT_FILTER,
    "refusal": CONTENT_FILTER,
    "safety": CONTENT_FILTER,
    "image_safety": CONTENT_FILTER,
    "image_prohibited_content": CONTENT_FILTER,
    "content_blocked": CONTENT_FILTER,
    "blocked": CONTENT_FILTER,
    "recitation": CONTENT_FILTER,
    "blocklist": CONTENT_FILTER,
    "prohibited_content": CONTENT_FILTER,
    "spii": CONTENT_FILTER,
    "language": CONTENT_FILTER,
    "sensitive": CONTENT_FILTER,
    "error_toxic": CONTENT_FILTER,
}
# The provider writes these while the answer goes on.
NOT_YET = frozenset(
    {"", "none", "null", "unspecified", "finish_reason_unspecified", "in_progress", "not_finished", "unfinished"}
)
# The provider ended the answer because something failed on its side.
FAILED = frozenset(
    {
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "failed",
        "internal_error",
        "network_error",
        "server_error",
        "insufficient_system_resource",
        "malformed_function_call",
        "malformed_model_output",
        "malformed_response",
        "malformed_tool_call",
        "malformed_tool_use",
        "missing_thought_signature",
        "timeout",
        "too_many_tool_calls",
        "unexpected_tool_call",
    }
)


# What a word that no table has means by a part of it; the first that fits.
PARTS: tuple[tuple[re.Pattern[str], str | None], ...] = (
    (re.compile("error|fail|exception|overload|time_?out|abort|cancel|unavailable|rate_limit|malformed"), None),
    (re.compile("filter|safety|policy|moderat|blocked|prohibit|sensitive|refus|toxic"), CONTENT_FILTER),
    (re.compile("length|limit|max_|_max|token|window|truncat"), LENGTH),
    (re.compile("tool|function"), TOOL_CALLS),
)
# In `maxTokens`, `max-tokens` and `max tokens`.
WORD_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|[-\s]+")


def finish_reason(said: Any) -> str | None:
    """One of OpenAI's; None while the answer goes on. Raises `Overloaded` where the provider says that it failed."""
    if isinstance(said, dict):
        # SGLang: {"type": "length", "length": 10}.
        said = said.get("type")
    if not isinstance(said, str):
        # A number or an object is not a reason that anybody documents: how the stream ends decides.
        return None
    if (known := REASONS.get(said)) is not None:
        return known
    word = WORD_BORDER.sub("_", said.strip()).lower().removeprefix("finish_reason_")
    if word in NOT_YET:
        return None
    meant = REASONS[word] if word in REASONS else None if word in FAILED else by_parts(word)
    if meant is None:
        raise Overloaded("finished_in_error")
    return meant


def by_parts(word: str) -> str | None:
    """What a word means that no table has; None for a failure."""
    return next((meant for part, meant in PARTS if part.search(word)), STOP)


def with_calls(reason: str | None, *, calls: bool) -> str:
    """The reason of a whole answer. Agents go on working only where an answer with calls of tools ends in
    `tool_calls`, and wait for calls that are not there where one without them does."""
    if calls and reason in (None, STOP):
        return TOOL_CALLS
    if reason is None or (reason == TOOL_CALLS and not calls):
        return STOP
    return reason
