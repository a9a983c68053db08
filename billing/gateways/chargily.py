"""Chargily Pay V2. What is known of it, and how surely, is in docs/payments.md."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import requests
from django.conf import settings
from requests.auth import AuthBase

from accounts.deadline import TooLate, at_most
from accounts.fresh import release_connection

from ..errors import (
    Broken,
    Busy,
    GatewayError,
    KeyRefused,
    NoSuchCheckout,
    PaymentsNotConfigured,
    Rejected,
    Unreachable,
    Unreadable,
)
from .base import Checkout, Order

CONNECT_SECONDS = 5
READ_SECONDS = 10
WHOLE_SECONDS = 15
# A checkout has some two kilobytes.
MOST_BYTES = 256 * 1024
GET_TRIES = 2
BETWEEN_TRIES_SECONDS = 0.5
BUSY_SECONDS = 5

PAYING_HOSTS = frozenset({"pay.chargily.dz", "pay.chargily.net"})
# Lower-case ULIDs so far.
CHECKOUT_ID = re.compile(r"[!-~]{1,64}")
LOCALES = frozenset({"ar", "en", "fr"})


def the_gateway() -> "Chargily":
    """As configured; raises `PaymentsNotConfigured`."""
    if not settings.CHARGILY_SECRET_KEY:
        raise PaymentsNotConfigured
    own_host = None if settings.PRODUCTION else urlsplit(settings.CHARGILY_BASE_URL).hostname
    return Chargily(settings.CHARGILY_BASE_URL, settings.CHARGILY_SECRET_KEY, own_host)


@dataclass(frozen=True, slots=True)
class Bearer(AuthBase):
    """As an auth object, because a header alone would give way to a ~/.netrc."""

    key: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def __repr__(self) -> str:
        return "Bearer(…)"


class Chargily:
    """`own_host`: outside production the host of another base address, whose pages may be opened too."""

    def __init__(self, base_url: str, key: str, own_host: str | None = None) -> None:
        self._base_url = base_url
        self._bearer = Bearer(key)
        self._own_host = own_host

    def open(self, order: Order) -> Checkout:
        body = {
            "amount": order.amount_dzd,
            "currency": "dzd",
            "success_url": order.success_url,
            "failure_url": order.failure_url,
            "description": order.description,
            "locale": order.language if order.language in LOCALES else "fr",
            "metadata": {"transaction_id": order.reference},
        }
        if order.webhook_url is not None:
            body["webhook_endpoint"] = order.webhook_url
        # Never sent twice by itself: there is no idempotency key, and each would be a checkout.
        found = _checkout(self._call("POST", "/checkouts", body))
        return Checkout(
            found.id,
            found.status,
            found.amount,
            found.currency,
            found.livemode,
            self._safe_url(found.url),
            found.payment_method,
        )

    def fetch(self, checkout_id: str) -> Checkout:
        return _checkout(self._get(f"/checkouts/{quote(checkout_id, safe='')}"))

    def try_key(self) -> None:
        self._get("/balance")

    def _get(self, path: str) -> Any:
        for _ in range(GET_TRIES - 1):
            try:
                return self._call("GET", path)
            except (Unreachable, Broken):
                time.sleep(BETWEEN_TRIES_SECONDS)
        return self._call("GET", path)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        # Chargily may take its time: nobody's database connection waits with us.
        release_connection()
        try:
            with at_most(WHOLE_SECONDS), requests.Session() as session:
                response = session.request(
                    method,
                    self._base_url + path,
                    data=None if body is None else orjson.dumps(body),
                    headers={"Accept": "application/json", "Content-Type": "application/json"},
                    auth=self._bearer,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    allow_redirects=False,
                    stream=True,
                )
                content = _read(response)
        except UnicodeError as error:
            # A dash or an invisible character came along when it was pasted: nothing was sent.
            raise KeyRefused("cannot be sent") from error
        except (requests.Timeout, TooLate) as error:
            raise Unreachable("timeout") from error
        except requests.RequestException as error:
            raise Unreachable("no_connection") from error
        if not 200 <= response.status_code < 300:
            raise _refusal(response, content)
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise Unreadable("not_json") from error

    def _safe_url(self, url: str) -> str:
        """The checkout's page, rebuilt from its parts: https and Chargily's host, or our own stand-in's."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise Unreadable("checkout_url") from error
        query = f"?{parts.query}" if parts.query else ""
        # Chargily itself answers http:// addresses; the same page is served by https.
        if parts.scheme in ("http", "https") and host in PAYING_HOSTS:
            return f"https://{host}{parts.path}{query}"
        if parts.scheme in ("http", "https") and host and host == self._own_host:
            where = f"[{host}]" if ":" in host else host
            return f"{parts.scheme}://{where}{f':{port}' if port else ''}{parts.path}{query}"
        raise Unreadable("checkout_url")


def _read(response: requests.Response) -> bytes:
    content = b""
    for chunk in response.iter_content(16 * 1024):
        content += chunk
        if len(content) > MOST_BYTES:
            raise Unreadable("too_large")
    return content


def _refusal(response: requests.Response, content: bytes) -> GatewayError:
    """By status; the body may be Laravel's JSON, HTML, or nothing at all."""
    match response.status_code:
        case 401 | 403 as status:
            return KeyRefused(status)
        case 404:
            return NoSuchCheckout(404)
        case 429:
            return Busy(_seconds(response.headers.get("Retry-After")))
        case status if status >= 500:
            return Broken(status)
        case status:
            return Rejected(", ".join([str(status), *_fields_at_fault(content)]))


def _seconds(header: str | None) -> int:
    """Retry-After may be missing, a date, or nonsense."""
    return int(header) if header and re.fullmatch(r"[0-9]{1,4}", header) else BUSY_SECONDS


def _fields_at_fault(content: bytes) -> list[str]:
    """The names of the fields in Laravel's `errors`: they may be logged; its sentences may echo values."""
    try:
        errors = orjson.loads(content)["errors"]
        return sorted(field for field in errors if isinstance(field, str) and field.isidentifier())
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def _checkout(answer: Any) -> Checkout:
    """Only what is used is read: the answer holds the merchant's legal data (`account`) as well."""
    if not isinstance(answer, dict) or not CHECKOUT_ID.fullmatch(_text(answer.get("id"))):
        raise Unreadable("checkout")
    return Checkout(
        id=answer["id"],
        status=_text(answer.get("status")),
        amount=_amount(answer.get("amount")),
        currency=_text(answer.get("currency")).lower(),
        livemode=read_flag(answer.get("livemode")),
        url=_text(answer.get("checkout_url")),
        payment_method=_text(answer.get("payment_method"))[:32],
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _amount(value: Any) -> Decimal | None:
    """Whole dinars as a rule; 1590.0 and "1590" are the same amount."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def read_flag(value: Any) -> bool | None:
    """A boolean as Chargily writes it: true, "true", 1. Anything else is None."""
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower())
