"""Errors that come as answers: with status 200, or as an event of a stream. Recognised by shape, since few providers
wrap them as OpenAI does."""

import re
from collections.abc import Mapping
from typing import Any

# An answer has none of these beside its choices. `message` and `code`: vLLM, Mistral, DashScope; `detail`: FastAPI,
# NVIDIA; `error_msg` and `error_code`: Baidu; `errors`: Cloudflare; MiniMax has an object of its own, `base_resp`.
SIGNS = ("detail", "message", "msg", "error_message", "error_msg", "error_code", "errors", "err_msg", "errorMessage")
CODES = ("code", "status", "status_code", "http_code", "error_code", "statusCode")


# Codes and statuses of what is no error.
SOUND = frozenset({"0", "200", "ok", "success", "succeeded"})
# Some gateways put the whole answer into one of these.
ENVELOPES = ("data", "result", "response", "output")


def error_in(body: Mapping[str, Any]) -> Any:
    """What a body or an event says went wrong; None where it is no error."""
    if (error := body.get("error")) and says_anything(error):
        return error
    if body.get("choices"):
        return None
    inner = body.get("base_resp")
    if isinstance(inner, dict) and inner.get("status_code"):
        return inner
    if "error" in (body.get("object"), body.get("type"), body.get("status")):
        return body
    if any(str(body.get(name)).lower() in SOUND for name in ("code", "status")):
        return None
    signs = any(_says_something(body.get(sign)) for sign in SIGNS)
    return body if signs or _status(body) else None


def says_anything(error: Any) -> bool:
    """Some gateways (one-api) put an error of empty fields beside every answer."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    """The answer itself, where a body holds it in an envelope; the usage may lie beside it."""
    inner = next(
        (body[name] for name in ENVELOPES if isinstance(body.get(name), dict) and "choices" in body[name]), None
    )
    return body if inner is None else {"usage": body.get("usage"), **inner}


def status_inside(error: Any) -> int:
    """The HTTP status that an error names; 502 where it names none."""
    return (_status(error) if isinstance(error, dict) else None) or 502


def _status(error: Mapping[str, Any]) -> int | None:
    given = [str(error[name]) for name in CODES if isinstance(error.get(name), (int, str))]
    return next((int(code) for code in given if re.fullmatch("[45][0-9][0-9]", code)), None)


def _says_something(value: Any) -> bool:
    """A sentence, a code or a list of what is wrong. An object is none: Ollama's own answers have a `message`."""
    return bool(value) and isinstance(value, (str, int, list))
