"""Logs to standard output: JSON in production, readable in development; with the request's id, never a secret."""

import logging
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.json import JsonFormatter as BaseJsonFormatter

# Set by the middleware for the length of a request.
request_id: ContextVar[str] = ContextVar("request_id", default="")

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
        return {name: value for name, value in log_data.items() if value not in ("", None)}


class PlainFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name}={value}" for name in ABOUT if (value := getattr(record, name, "")))
        line = super().format(record)
        return f"{line}  [{about}]" if about else line
