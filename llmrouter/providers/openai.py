"""The dialect that nearly all providers speak: OpenAI's chat completions. Their differences are data (`registry`)."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from billing.money import nano_nearest

from ..errors import Unclear
from ..types import Reply, Tokens, Upstream
from .faults import fault
from .http import post
from .registry import Connection, Key

PATH = "/chat/completions"


def complete(connection: Connection, key: Key, call: Upstream) -> Reply:
    answer = post(connection.base_url + PATH, headers(connection, key), body(connection, call))
    if answer.status != 200:
        raise fault(answer.status, answer.headers, answer.body, model=call.model)
    return reply(answer.body, answer.headers, connection, call)


def headers(connection: Connection, key: Key) -> dict[str, str]:
    sent = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "IAFactory/2"}
    if key.text:
        sent["Authorization"] = f"Bearer {key.text}"
    return sent | dict(connection.provider.headers)


def body(connection: Connection, call: Upstream) -> bytes:
    """Only what is on the allow-list of `Chat.parameters` goes upstream, less what this provider refuses."""
    provider = connection.provider
    sent: dict[str, Any] = {
        "model": call.model,
        "messages": call.messages,
        provider.cap_field: call.max_tokens,
        **{name: value for name, value in call.parameters.items() if name not in provider.drops},
    }
    if provider.takes_max_price and call.max_price is not None:
        prompt, completion = call.max_price
        sent["provider"] = {"max_price": {"prompt": prompt, "completion": completion}}
    return orjson.dumps(sent)


def reply(text: bytes, answer_headers: Mapping[str, str], connection: Connection, call: Upstream) -> Reply:
    try:
        # DeepSeek keeps a connection alive with blank lines before the body.
        parsed = orjson.loads(text.strip())
    except orjson.JSONDecodeError as error:
        raise Unclear("unreadable") from error
    if not isinstance(parsed, dict):
        raise Unclear("unreadable")
    if parsed.get("error"):
        raise fault(status_inside(parsed["error"]), answer_headers, text, model=call.model)
    choice = _first(parsed.get("choices"))
    if choice is None or not isinstance(choice.get("message"), dict):
        raise Unclear("unreadable")
    return Reply(
        message=choice["message"],
        finish_reason=str(choice.get("finish_reason") or "stop"),
        tokens=tokens(parsed.get("usage")),
        cost=billed(parsed.get("usage")) if connection.provider.tells_cost else None,
    )


def status_inside(error: Any) -> int:
    """The status in an error that came with a 200: OpenRouter puts it into `code`."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def tokens(usage: Any) -> Tokens | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Tokens(
        input=usage["prompt_tokens"],
        # Reasoning tokens are part of the completion's; counting them again would bill them twice.
        output=_count(usage.get("completion_tokens")),
        cached=_count(details.get("cached_tokens")) or _count(usage.get("prompt_cache_hit_tokens")),
        cache_written=_count(details.get("cache_write_tokens")),
    )


def billed(usage: Any) -> int | None:
    """The dollars that the provider says it charged, in nano-dollars."""
    cost = usage.get("cost") if isinstance(usage, dict) else None
    if isinstance(cost, bool) or not isinstance(cost, (int, float, str)):
        return None
    try:
        amount = Decimal(str(cost))
    except InvalidOperation:
        return None
    return nano_nearest(amount) if amount.is_finite() and amount >= 0 else None


def _first(choices: Any) -> dict[str, Any] | None:
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
