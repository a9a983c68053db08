"""What a provider counted and what it billed, as its `usage` tells it. Pure; any JSON goes in."""

import math
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.money import nano_nearest

from ..types import Tokens

# Beyond these a count or a bill is a mistake of the provider's, and is not believed.
MOST_TOKENS = 100_000_000
DEAREST_CALL_USD = 1000
# No word in a published vocabulary has more bytes. Only runs of blanks, dashes and the like do (up to 128), and no
# answer consists of those alone. Words of Hindi or Tamil come to 12 bytes a token, so a smaller bound proves nothing.
MOST_BYTES_PER_TOKEN = 64


def tokens(usage: Any, cap: int | None = None) -> Tokens | None:
    """The counts; None where the provider gave none, or none that can be believed. `cap` is the output cap that was
    sent upstream."""
    if not isinstance(usage, dict):
        return None
    total = count(usage.get("total_tokens")) or 0
    output = _count_of(usage, "completion_tokens", "output_tokens", absent=0)
    input_ = _count_of(usage, "prompt_tokens", "input_tokens", absent=None)
    if input_ is None and total and output:
        input_ = max(0, total - output)
    if input_ is None or output is None:
        return None
    # Reasoning tokens are part of the completion's, and counted once; but xAI and Gemini leave them out there, and
    # count them only in the total. Some totals count the whole window: what exceeds the cap was not generated.
    unseen = total - input_ if cap is None else min(total - input_, cap)
    inputs = _details(usage, "prompt_tokens_details") or _details(usage, "input_tokens_details")
    outputs = _details(usage, "completion_tokens_details") or _details(usage, "output_tokens_details")
    # DeepSeek, Moonshot and what passes Anthropic's answers on have names of their own for it.
    cached = _first_count(
        inputs.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
        usage.get("cache_read_input_tokens"),
    )
    written = _first_count(
        inputs.get("cache_write_tokens"),
        inputs.get("cache_creation_input_tokens"),
        usage.get("cache_creation_input_tokens"),
    )
    reasoning = count(outputs.get("reasoning_tokens")) or 0
    return Tokens(
        input=_with(cached + written, input_),
        output=max(output, unseen, _with(reasoning, output) if cap is None else min(_with(reasoning, output), cap)),
        cached=cached,
        cache_written=written,
        reasoning=reasoning,
    )


def _with(part: int, whole: int) -> int:
    """The whole with a part that it has to hold. A part that is larger was counted beside it."""
    return whole + part if part > whole else whole


def billed(usage: Any) -> int | None:
    """The dollars that the provider says it charged, in nano-dollars; None where that cannot be believed."""
    if not isinstance(usage, dict):
        return None
    amounts = [_dollars(usage.get("cost"))]
    if usage.get("is_byok"):
        # A key of the operator's own at the provider behind OpenRouter: `cost` is OpenRouter's fee, the rest is billed
        # there.
        amounts.append(_dollars(_details(usage, "cost_details").get("upstream_inference_cost")))
    known = [amount for amount in amounts if amount is not None]
    return nano_nearest(sum(known, Decimal(0))) if len(known) == len(amounts) else None


def believable(counted: Tokens | None, spoken: int) -> Tokens | None:
    """The counts, if they can be those of an answer of `spoken` bytes: zeros beside words are a usage not told."""
    if counted is None or (spoken and not counted.input) or fewest_tokens(spoken) > counted.output:
        return None
    return counted


def fewest_tokens(spoken: int) -> int:
    """The fewest tokens that so many bytes of text can be."""
    return -(-spoken // MOST_BYTES_PER_TOKEN)


def larger(one: Tokens | None, other: Tokens | None) -> Tokens | None:
    """Of two usages of one answer: a later one completes an earlier one and never takes anything back."""
    if one is None or other is None or one == other:
        return one or other
    return Tokens(*(max(getattr(one, field.name), getattr(other, field.name)) for field in fields(Tokens)))


def count(value: Any) -> int | None:
    """A number of tokens, if it is one; floats and text too, as some providers write it."""
    if type(value) is not int:
        value = _whole(value)
    return value if value is not None and 0 <= value <= MOST_TOKENS else None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return math.ceil(number) if math.isfinite(number) else None


def _count_of(usage: Mapping[str, Any], *names: str, absent: int | None) -> int | None:
    """The count under the first of these names that is there; `absent` where none is."""
    given = [usage[name] for name in names if usage.get(name) is not None]
    return count(given[0]) if given else absent


def _first_count(*values: Any) -> int:
    return next((found for found in map(count, values) if found), 0)


def _dollars(amount: Any) -> Decimal | None:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, str)):
        return None
    try:
        found = Decimal(str(amount))
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found <= DEAREST_CALL_USD else None


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = usage.get(name)
    return found if isinstance(found, dict) else {}
