"""The stand-in over HTTP: the API under /test/api/v2 and /api/v2, the hosted page, the webhooks."""

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import requests
from django.template.loader import render_to_string
from django.utils import translation

from .books import Books, Faults
from .forms import errors_of

STYLE = Path(__file__).parent.parent / "static" / "billing" / "standin.css"
WEBHOOK_SECONDS = 30
LANGUAGES = ("fr", "ar", "en")
# What the buttons of the hosted page do.
ACTIONS = {"pay": "paid", "fail": "failed", "cancel": "canceled"}

ROUTES = [
    (re.compile(r"(?:/test)?/api/v2/balance"), "balance"),
    (re.compile(r"(?:/test)?/api/v2/checkouts"), "checkouts"),
    (re.compile(r"(?:/test)?/api/v2/checkouts/(?P<checkout_id>[^/]+)"), "checkout"),
    (re.compile(r"(?:/test)?/api/v2/checkouts/(?P<checkout_id>[^/]+)/items"), "items"),
    (re.compile(r"(?:/test)?/api/v2/checkouts/(?P<checkout_id>[^/]+)/expire"), "expire"),
]
PAGE = re.compile(r"(?:/test)?/checkouts/([^/]+)/pay")


class ChargilyStandIn:
    """A running stand-in. `books` holds what it knows and how it misbehaves."""

    def __init__(self, key: str, *, port: int = 0, file: Path | None = None) -> None:
        self.server = Server(("127.0.0.1", port), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.books = Books(key, self.address, file)
        self.server.standin = self

    @property
    def base_url(self) -> str:
        return f"{self.address}/test/api/v2"

    def start(self) -> "ChargilyStandIn":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def finish(self, checkout_id: str, status: str) -> list[int | None]:
        """The customer is done: the checkout changes, and its webhooks go out. What they were answered with."""
        checkout = self.books.change(checkout_id, status)
        return [] if checkout is None else self.send_events(checkout, f"checkout.{status}")

    def send_events(self, checkout: dict[str, Any], kind: str) -> list[int | None]:
        """As the faults say: none, several, late, in a wrong order, with a wrong signature."""
        faults = replace(self.books.faults)
        if faults.dropped:
            return []
        time.sleep(faults.delay)
        bodies = [self.books.event(checkout, kind)] * faults.copies
        if faults.reordered:
            # A failure of an earlier try that comes after the success.
            bodies.append(self.books.event(checkout, "checkout.failed"))
        return [self.send(checkout["webhook_endpoint"], body) for body in bodies]

    def send(self, endpoint: str | None, body: bytes) -> int | None:
        """One delivery; the status of the answer, or None if nobody answered."""
        if not endpoint:
            return None
        headers = {"Content-Type": "application/json", "signature": self.books.signature(body)}
        try:
            answer = requests.post(endpoint, data=body, headers=headers, timeout=WEBHOOK_SECONDS)
        except requests.RequestException:
            status = None
        else:
            status = answer.status_code
        self.books.deliveries.append((json.loads(body)["type"], status))
        return status


class Server(ThreadingHTTPServer):
    standin: ChargilyStandIn
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up: that is what some faults are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    @property
    def books(self) -> Books:
        return self.server.standin.books

    def do_GET(self) -> None:
        self.route("GET")

    def do_POST(self) -> None:
        self.route("POST")

    def route(self, method: str) -> None:
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.books.calls.append((method, path))
        if path == "/standin.css":
            self.answer(200, STYLE.read_bytes(), "text/css; charset=utf-8")
        elif path == "/faults":
            self.switch(method)
        elif found := PAGE.fullmatch(path):
            self.page(method, found[1])
        else:
            self.api(method, path)

    # The API

    def api(self, method: str, path: str) -> None:
        faults = self.books.faults
        if faults.api == "timeout":
            time.sleep(faults.timeout)
        if faults.api == "429":
            self.json(429, {"message": "Too Many Attempts."}, {"Retry-After": str(faults.retry_after)})
        elif faults.api == "500":
            self.json(500, {"message": "Server Error"})
        elif faults.api == "empty_401":
            self.answer(401, b"", "text/html")
        elif self.headers.get("Authorization") != f"Bearer {self.books.key}":
            self.json(401, {"message": "Unauthenticated."})
        else:
            self.find(method, path)

    def find(self, method: str, path: str) -> None:
        for pattern, name in ROUTES:
            found = pattern.fullmatch(path)
            action = getattr(self, f"{method.lower()}_{name}", None) if found else None
            if found and action:
                action(**found.groupdict())
                return
        self.json(404, {"message": "Not Found"})

    def get_balance(self) -> None:
        wallets = [
            {"currency": currency, "balance": 0, "ready_for_payout": "0", "on_hold": 0}
            for currency in ("dzd", "usd", "eur")
        ]
        self.json(200, {"entity": "balance", "livemode": self.livemode, "wallets": wallets})

    def post_checkouts(self) -> None:
        try:
            form = json.loads(self.content)
        except ValueError:
            form = {}
        if errors := errors_of(form if isinstance(form, dict) else {}):
            first = next(iter(errors.values()))[0]
            more = sum(map(len, errors.values())) - 1
            suffix = f" (and {more} more error{'s' if more > 1 else ''})" if more else ""
            self.json(422, {"message": first + suffix, "errors": errors})
            return
        self.json(200, self.books.make(form, livemode=self.livemode))

    def get_checkouts(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        page, size = (int(query.get(name, [default])[0]) for name, default in (("page", "1"), ("per_page", "10")))
        with self.books.lock:
            everything = [self.books.shown(checkout) for checkout in reversed(self.books.checkouts.values())]
        self.json(200, self.paginated(everything, page, size))

    def get_checkout(self, checkout_id: str) -> None:
        if checkout := self.known(checkout_id):
            self.json(200, self.books.shown(checkout))

    def get_items(self, checkout_id: str) -> None:
        if self.known(checkout_id):
            self.json(200, self.paginated([], 1, 10))

    def post_expire(self, checkout_id: str) -> None:
        checkout = self.known(checkout_id)
        if not checkout:
            return
        if checkout["status"] == "expired":
            self.json(400, {"message": "The checkout is already expired."})
        elif checkout["status"] != "pending":
            self.json(403, {"message": "Forbidden"})
        else:
            self.books.change(checkout_id, "expired")
            self.json(200, self.books.shown(checkout))

    def known(self, checkout_id: str) -> dict[str, Any] | None:
        checkout = self.books.find(checkout_id)
        if checkout is None or checkout["livemode"] != self.livemode:
            self.json(404, {"message": "Checkout not found."})
            return None
        return checkout

    def paginated(self, rows: list[Any], page: int, size: int) -> dict[str, Any]:
        path = self.server.standin.address + urlsplit(self.path).path
        last = max(1, -(-len(rows) // size))
        return {
            "livemode": self.livemode,
            "current_page": page,
            "data": rows[(page - 1) * size : page * size],
            "first_page_url": f"{path}?page=1",
            "last_page": last,
            "last_page_url": f"{path}?page={last}",
            "next_page_url": f"{path}?page={page + 1}" if page < last else None,
            "path": path,
            "per_page": size,
            "prev_page_url": f"{path}?page={page - 1}" if page > 1 else None,
            "total": len(rows),
        }

    @property
    def livemode(self) -> bool:
        return not self.path.startswith("/test/")

    # The page where the customer pays

    def page(self, method: str, checkout_id: str) -> None:
        checkout = self.books.find(checkout_id)
        if checkout is None:
            self.answer(404, b"Not Found", "text/plain")
        elif method == "GET":
            self.show(checkout)
        else:
            self.act(checkout)

    def show(self, checkout: dict[str, Any]) -> None:
        asked = parse_qs(urlsplit(self.path).query).get("lang", [checkout["locale"]])[0]
        language = asked if asked in LANGUAGES else "ar"
        with translation.override(language):
            page = render_to_string(
                "billing/standin/page.html",
                {
                    "checkout": checkout,
                    "open": checkout["status"] in ("pending", "processing"),
                    "language": language,
                    "languages": [("fr", "Français"), ("ar", "العربية"), ("en", "English")],
                    "direction": "rtl" if language == "ar" else "ltr",
                },
            )
        self.answer(200, page.encode(), "text/html; charset=utf-8")

    def act(self, checkout: dict[str, Any]) -> None:
        action = parse_qs(self.content.decode()).get("action", [""])[0]
        status = ACTIONS.get(action)
        changed = self.books.change(checkout["id"], status) if status else None
        if changed is None:
            self.show(checkout)
            return
        back = changed["success_url"] if status == "paid" else changed["failure_url"] or changed["success_url"]
        # The customer does not wait for the webhook, as with the real one.
        sending = threading.Thread(target=self.server.standin.send_events, args=(changed, f"checkout.{status}"))
        sending.start()
        self.answer(302, b"", "text/plain", {"Location": with_checkout_id(back, checkout["id"])})

    # The switches, for whoever tries it by hand: GET shows them, POST name=value sets them

    def switch(self, method: str) -> None:
        if method == "POST":
            wanted = dict(parse_qsl(self.content.decode(), keep_blank_values=True))
            try:
                self.books.faults = set_faults(self.books.faults, wanted)
            except ValueError as error:
                self.json(400, {"message": str(error)})
                return
        self.json(200, self.books.behaviour())

    def json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.answer(status, json.dumps(body).encode(), "application/json", headers)

    def answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(HTTPStatus(status))
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet: its books tell."""


def with_checkout_id(url: str, checkout_id: str) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode({"checkout_id": checkout_id})) if part)
    return parts._replace(query=query).geturl()


def set_faults(faults: Faults, wanted: dict[str, str]) -> Faults:
    """The faults with those of `wanted` set from text; raises ValueError."""
    readers: dict[Any, Callable[[str], Any]] = {
        bool: lambda text: text.lower() in ("1", "true", "yes", "on"),
        int: int,
        float: float,
        str: str,
        int | None: lambda text: int(text) if text else None,
    }
    kinds = {field.name: field.type for field in fields(Faults)}
    if unknown := sorted(set(wanted) - set(kinds)):
        raise ValueError(f"Unknown: {', '.join(unknown)}. There are: {', '.join(kinds)}.")
    values: dict[str, Any] = {name: readers[kinds[name]](text) for name, text in wanted.items()}
    return replace(faults, **values)
