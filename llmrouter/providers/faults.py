"""A provider's error answer -> our exception: by its own code and type first, by the status second.

429 and 402 each mean both "wait" and "no money", and 400 may mean a bad key, so the status alone does not tell. Bodies
come as objects, arrays, `{detail}`, `{message}`, text and HTML; nothing of them but the codes is kept.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from ..errors import (
    CallerFault,
    Declined,
    KeyBusy,
    KeyRefused,
    ModelGone,
    OutOfCredit,
    Overloaded,
    PromptTooLong,
    ProviderRefused,
)
from .registry import Provider

OUT_OF_CREDIT = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_error",
    "enforced_spend_limit_reached",
    "exceeded_current_quota_error",
    "arrearage",
}
BAD_KEY = {"invalid_api_key", "api_key_invalid", "authentication_error", "account_deactivated"}
BUSY = {"rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "engine_overloaded_error"}
MODEL_GONE = {
    "model_not_found",
    "model_decommissioned",
    "model_deprecated",
    "no_endpoints",
    "free_variant_ended",
    "privacy_restricted",
    "constraint_filtered",
}
# The model wrote no valid call of a tool, or no valid JSON: another one may.
FAILED_GENERATION = {"tool_use_failed", "json_validate_failed"}
# OpenRouter's 404 to a request that asks of a model what it cannot (tools, a tool_choice, an image): the model is there
# for everybody else (zed#36094, pydantic-ai#2896).
UNSUPPORTED_PHRASES = ("no endpoints found that support",)
TOO_LONG = {"context_length_exceeded", "request_too_large"}
CONTENT = {"content_policy_violation", "content_filter", "data_inspection_failed", "refusal", "content_policy"}

# Under which names errors have a sentence.
SENTENCES = ("message", "detail", "msg", "error_msg", "error_message", "errors", "title")

# Where no code tells that a prompt is too long, these phrases do (compared in lower case). The prompt itself may hold
# them: then its sender is told so, and nobody else is touched.
TOO_LONG_PHRASES = (
    "maximum context length",
    "exceed context limit",
    "maximum context limit",
    "longer than the model's context length",
    "input tokens exceed",
    "exceeds the available context size",
    "exceeds the maximum number of tokens",
    "prompt is too long",
    "exceeded model token limit",
    "current length is",
    "maximum input length is",
    "max_new_tokens` must be",
)


def fault(
    provider: Provider, status: int, headers: Mapping[str, str], body: bytes, *, model: str
) -> ProviderRefused | CallerFault:
    """The exception for an answer that is an error."""
    said = _said(body)
    wait = retry_after(headers)
    # What is about the content comes first: such an answer echoes the prompt, which may speak of keys and credit.
    if said.codes & CONTENT or said.flagged:
        return Declined("content_refused", status)
    if said.codes & BAD_KEY or said.tells(provider.bad_key_phrases):
        return KeyRefused("key_refused", status)
    if said.codes & OUT_OF_CREDIT or said.tells(provider.no_credit_phrases):
        return OutOfCredit("out_of_credit", status)
    if said.codes & BUSY:
        return KeyBusy("busy", status, retry_after=wait)
    if said.codes & FAILED_GENERATION:
        return ProviderRefused("failed_generation", status)
    if said.codes & TOO_LONG or status in {413, *provider.too_long_statuses} or said.tells(TOO_LONG_PHRASES):
        return PromptTooLong(model)
    if said.tells(UNSUPPORTED_PHRASES):
        return ProviderRefused("unsupported", status)
    if said.codes & MODEL_GONE:
        return ModelGone("model_gone", status)
    return by_status(status, wait)


def by_status(status: int, wait: float | None) -> ProviderRefused | CallerFault:
    """For an answer whose codes say nothing."""
    match status:
        case 401 | 403:
            return KeyRefused("key_refused", status)
        case 402:
            # With a Retry-After it is only its in-flight budget that is used up.
            return KeyBusy("busy", status, retry_after=wait) if wait else OutOfCredit("out_of_credit", status)
        case 404 | 410:
            return ModelGone("model_gone", status)
        case 429:
            return KeyBusy("busy", status, retry_after=wait)
        case 408 | 409 | 412 | 424 | 425 | 498:
            return Overloaded("overloaded", status, retry_after=wait)
        case _ if status >= 500 or status < 400:
            return Overloaded("overloaded", status, retry_after=wait)
    return Declined("request_declined", status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header holds seconds or a date."""
    value = headers.get("Retry-After", "")
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Said:
    """What an error body says: its codes, and its own sentence, both in lower case; whether it flags the content."""

    codes: frozenset[str] = frozenset()
    message: str = ""
    flagged: bool = False

    def tells(self, phrases: Iterable[str]) -> bool:
        return any(phrase in self.message for phrase in phrases)


def _said(body: bytes) -> Said:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Said()
    if isinstance(parsed, list):
        parsed = parsed[0] if parsed else {}
    if not isinstance(parsed, dict):
        return Said()
    error = parsed.get("error") or parsed
    if not isinstance(error, dict):
        return Said(message=str(error).lower())
    sentence = next((error[name] for name in SENTENCES if error.get(name)), "")
    metadata = error.get("metadata")
    flagged = isinstance(metadata, dict) and bool(metadata.get("flagged_input") or metadata.get("reasons"))
    return Said(frozenset(_codes(error)), str(sentence).lower(), flagged)


def _codes(error: Any, depth: int = 0) -> list[str]:
    """`code`, `type`, `status`, `reason` and the like, wherever they stand in the error."""
    if depth > 3:
        return []
    if isinstance(error, list):
        return [code for part in error for code in _codes(part, depth + 1)]
    if not isinstance(error, dict):
        return []
    named = ("code", "type", "status", "reason", "error_type", "limit_source")
    here = [str(error[name]).lower() for name in named if isinstance(error.get(name), str)]
    return here + [code for part in error.values() for code in _codes(part, depth + 1)]
