"""The answer in the form that the request asked for: functions as in 2023, or without the thoughts before it."""

from collections.abc import Mapping
from typing import Any

from ..types import Chat

SHOWN_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details")


def as_asked(chat: Chat, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message, or a delta of one."""
    if chat.hides_thoughts:
        said = {name: value for name, value in said.items() if name not in SHOWN_THOUGHTS}
    if chat.calls_functions and "tool_calls" in said:
        calls = said["tool_calls"]
        said = {name: value for name, value in said.items() if name != "tool_calls"}
        # There is place for one call, and one at a time was asked for. In a stream its parts come under one index.
        if first := next((call for call in calls if not call.get("index")), None):
            said = {**said, "function_call": first["function"]}
    return said


def reason_as_asked(chat: Chat, reason: str | None) -> str | None:
    return "function_call" if chat.calls_functions and reason == "tool_calls" else reason
