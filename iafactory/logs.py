"""Logs to standard output: JSON in production, readable in development; with the request's id, never a secret."""

import logging
import re
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.json import JsonFormatter as BaseJsonFormatter

# Set by the middleware for the length of a request.
request_id: ContextVar[str] = ContextVar("request_id", default="")

# A line is at most so long, whatever somebody sent; collectors cut or drop longer ones.
LONGEST = 16_000
LONGEST_PART = 4_000
# What would end a line, or move a terminal's cursor: nobody writes a line of ours but we.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029) if code != 9}

# The password in an address: scheme://user:password@host. An error of a library may name the address it was given.
PASSWORD = re.compile(r"(\w://[^\s/:@]*):[^\s/@]+@")

ABOUT = ("request_id", "user_id", "tier", "provider", "model")


class RequestFilter(logging.Filter):
    """Puts the current request's id on every line written during it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True


class JsonFormatter(BaseJsonFormatter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"timestamp": True, "rename_fields": {"levelname": "level", "name": "logger"}}
        super().__init__("%(levelname)s %(name)s %(message)s", *args, **kwargs)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {
            name: shortened(without_passwords(value)) for name, value in log_data.items() if value not in ("", None)
        }


class PlainFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the library's name)
        about = " ".join(f"{name}={value}" for name in ABOUT if (value := getattr(record, name, "")))
        line = super().formatMessage(record) + (f"  [{about}]" if about else "")
        return str(shortened(without_passwords(line.translate(CONTROLS))))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        # An exception's text may hold anything; set in, no line of it looks like a line of the log.
        text = without_passwords(super().formatException(ei))
        return "\n".join(f"    {line.translate(CONTROLS)}" for line in text[-LONGEST:].split("\n"))


def without_passwords(value: Any) -> Any:
    return PASSWORD.sub(r"\1:***@", value) if isinstance(value, str) else value


def shortened(value: Any) -> Any:
    """Its two ends: a traceback begins with where and ends with what."""
    if not isinstance(value, str) or len(value) <= LONGEST_PART:
        return value
    half = LONGEST_PART // 2
    return f"{value[:half]} … {value[-half:]}"
