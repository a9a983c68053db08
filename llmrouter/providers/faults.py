"""A provider's error answer -> our exception: by its own code and type first, by the status second.

429 and 402 each mean both "wait" and "no money", and 400 may mean a bad key, so the status alone does not tell. Bodies
come as objects, arrays, `{detail}`, `{message}`, text and HTML; nothing of them but the codes is kept.
"""

import re
from collections.abc import Mapping
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
MODEL_GONE = {
    "model_not_found",
    "model_decommissioned",
    "model_deprecated",
    "no_endpoints",
    "free_variant_ended",
    "privacy_restricted",
    "constraint_filtered",
}
TOO_LONG = {"context_length_exceeded", "request_too_large", "string_above_max_length"}
CONTENT = {"content_policy_violation", "content_filter", "data_inspection_failed", "refusal", "content_policy"}

# Where no code tells, these phrases do (compared in lower case).
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
    "prompt too long",
)
BAD_KEY_PHRASES = ("incorrect api key", "api key not valid", "reported as leaked")
OUT_OF_CREDIT_PHRASES = (
    "specified api usage limits",
    "budget limit exceeded",
    "insufficient balance",
    "insufficient credits",
)


def fault(status: int, headers: Mapping[str, str], body: bytes, *, model: str) -> ProviderRefused | CallerFault:
    """The exception for an answer that is an error."""
    codes, text = _said(body)
    wait = retry_after(headers)
    if codes & TOO_LONG or status == 413 or any(phrase in text for phrase in TOO_LONG_PHRASES):
        return PromptTooLong(model)
    if codes & OUT_OF_CREDIT or any(phrase in text for phrase in OUT_OF_CREDIT_PHRASES):
        return OutOfCredit("out_of_credit", status)
    if codes & BAD_KEY or any(phrase in text for phrase in BAD_KEY_PHRASES):
        return KeyRefused("key_refused", status)
    if codes & CONTENT or "flagged_input" in text:
        return Declined("content_refused", status)
    if codes & MODEL_GONE:
        return ModelGone("model_gone", status)
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


def _said(body: bytes) -> tuple[set[str], str]:
    """The codes of an error body, in lower case, and its text, to look for phrases in."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return set(), ""
    if isinstance(parsed, list):
        parsed = parsed[0] if parsed else {}
    if not isinstance(parsed, dict):
        return set(), ""
    error = parsed.get("error", parsed)
    return set(_codes(error)), orjson.dumps(error).decode().lower()


def _codes(error: Any, depth: int = 0) -> list[str]:
    """`code`, `type`, `status`, `reason` and the like, wherever they stand in the body."""
    if depth > 4:
        return []
    if isinstance(error, list):
        return [code for part in error for code in _codes(part, depth + 1)]
    if not isinstance(error, dict):
        return []
    named = ("code", "type", "status", "reason", "error_type", "limit_source")
    here = [str(error[name]).lower() for name in named if isinstance(error.get(name), str)]
    return here + [code for part in error.values() for code in _codes(part, depth + 1)]
