"""What each provider's errors mean: by its own codes first, by the status second."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from llmrouter.errors import (
    Declined,
    KeyBusy,
    KeyRefused,
    ModelGone,
    OutOfCredit,
    Overloaded,
    PromptTooLong,
    ProviderRefused,
)
from llmrouter.providers.faults import fault, retry_after
from llmrouter.providers.registry import PROVIDERS

UNSUPPORTED = "No endpoints found that support the provided 'tool_choice' value. To learn more …"
CASES: list[tuple[str, int, Any, type[Exception]]] = [
    ("openai", 429, {"error": {"type": "insufficient_quota", "code": "credit_balance_exhausted"}}, OutOfCredit),
    ("openai", 429, {"error": {"code": "rate_limit_exceeded"}}, KeyBusy),
    ("openai", 400, {"error": {"code": "context_length_exceeded"}}, PromptTooLong),
    ("openai", 400, {"error": {"code": "content_policy_violation"}}, Declined),
    ("openai", 401, {"error": {"code": "invalid_api_key"}}, KeyRefused),
    ("openai", 404, {"error": {"code": "model_not_found"}}, ModelGone),
    ("anthropic", 529, {"type": "error", "error": {"type": "overloaded_error"}}, Overloaded),
    ("anthropic", 400, {"error": {"message": "You have reached your specified API usage limits."}}, OutOfCredit),
    ("anthropic", 400, {"error": {"message": "prompt is too long: 250000 tokens > 200000 maximum"}}, PromptTooLong),
    ("anthropic", 401, {"error": {"type": "authentication_error"}}, KeyRefused),
    ("groq", 413, {"error": {"code": "rate_limit_exceeded", "type": "tokens"}}, KeyBusy),
    ("groq", 404, {"error": {"code": "model_decommissioned"}}, ModelGone),
    ("groq", 498, {"error": {"code": "capacity_exceeded"}}, Overloaded),
    ("openrouter", 402, {"error": {"code": 402, "message": "Insufficient credits"}}, OutOfCredit),
    ("openrouter", 403, {"error": {"message": "Budget limit exceeded"}}, OutOfCredit),
    ("openrouter", 403, {"error": {"code": 403, "metadata": {"reasons": ["violence"]}}}, Declined),
    ("openrouter", 404, {"error": {"metadata": {"error_type": "no_endpoints"}}}, ModelGone),
    ("openrouter", 404, {"error": {"code": 404, "message": "No endpoints found for openai/gpt-9."}}, ModelGone),
    ("openrouter", 404, {"error": {"message": UNSUPPORTED, "code": 404}}, ProviderRefused),
    ("openrouter", 404, {"error": {"message": UNSUPPORTED, "code": "no_endpoints"}}, ProviderRefused),
    ("openrouter", 502, {"error": {"code": 502, "message": "upstream"}}, Overloaded),
    ("gemini", 400, [{"error": {"status": "INVALID_ARGUMENT", "message": "API key not valid. Pass one."}}], KeyRefused),
    ("gemini", 400, [{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}], KeyRefused),
    ("gemini", 403, [{"error": {"message": "Your API key was reported as leaked."}}], KeyRefused),
    ("gemini", 429, [{"error": {"status": "RESOURCE_EXHAUSTED"}}], KeyBusy),
    ("gemini", 402, [{"error": {"status": "RESOURCE_EXHAUSTED"}}], OutOfCredit),
    ("xai", 400, {"error": "Incorrect API key provided: xa***"}, KeyRefused),
    ("xai", 400, {"error": {"message": "bad temperature"}}, Declined),
    ("mistral", 422, {"object": "error", "message": "extra_forbidden"}, Declined),
    ("mistral", 402, {"detail": "unpaid"}, OutOfCredit),
    ("deepseek", 402, {"error": {"message": "Insufficient Balance"}}, OutOfCredit),
    ("moonshot", 429, {"error": {"type": "exceeded_current_quota_error"}}, OutOfCredit),
    ("dashscope", 400, {"error": {"code": "Arrearage"}}, OutOfCredit),
    ("fireworks", 412, {"error": {"message": "suspended"}}, Overloaded),
    ("cerebras", 400, {"message": "Current length is 9000 while limit is 8192"}, PromptTooLong),
    ("together", 503, "<html>busy</html>", Overloaded),
    ("cohere", 418, {"message": "?"}, Declined),
    ("perplexity", 500, None, Overloaded),
    ("huggingface", 302, "", Overloaded),
]


@pytest.mark.parametrize(
    ("provider", "status", "body", "kind"), CASES, ids=[f"{case[0]} {case[1]} {case[3].__name__}" for case in CASES]
)
def test_what_it_means(provider: str, status: int, body: Any, kind: type[Exception]) -> None:
    text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert type(fault(PROVIDERS[provider], status, {}, text, model="m")) is kind


def test_a_402_with_a_wait_is_only_busy() -> None:
    assert isinstance(fault(PROVIDERS["openrouter"], 402, {"Retry-After": "2"}, b"{}", model="m"), KeyBusy)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"Retry-After": "17"}) == 17
    assert retry_after({"Retry-After": "0.5"}) == 0.5
    soon = retry_after({"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=60))})
    assert soon is not None
    assert 55 < soon <= 60
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({}) is None


def test_nothing_of_the_providers_text_is_kept() -> None:
    body = json.dumps({"error": {"message": "bad key sk-secret, prompt: hello", "code": "invalid_api_key"}}).encode()
    found = fault(PROVIDERS["openai"], 401, {}, body, model="m")
    assert "secret" not in str(found) + str(vars(found))
