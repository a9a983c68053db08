"""JSON as we speak it: money is a number, printed from its Decimal and never through a float."""

import math
from decimal import Decimal
from typing import Any

import orjson
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.functional import Promise

from usage.errors import Limits


def to_json(body: Any) -> bytes:
    return orjson.dumps(body, default=_other, option=orjson.OPT_NON_STR_KEYS)


def json_reply(body: Any, status: int = 200) -> HttpResponse:
    content = to_json(body)
    # Said here, because the chat's path passes no middleware that would.
    return HttpResponse(
        content,
        status=status,
        content_type="application/json",
        headers={"Content-Length": str(len(content)), "X-Content-Type-Options": "nosniff"},
    )


def tell_limits(response: HttpResponseBase, limits: Limits) -> None:
    """Where the caller stands with the per-minute limit; the reset in whole seconds from now."""
    response.headers["X-RateLimit-Limit"] = str(limits.per_minute)
    response.headers["X-RateLimit-Remaining"] = str(limits.rate_left)
    response.headers["X-RateLimit-Reset"] = str(math.ceil(limits.rate_reset))


def _other(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, (Promise, str)):
        return str(value)
    if isinstance(value, (dict, list, tuple)):
        # Subclasses, such as Django REST framework's ReturnDict and ErrorDetail.
        return dict(value) if isinstance(value, dict) else list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
