"""A provider stand-in over real HTTP: speaks the wire format, misbehaves on request, and keeps its own books.

One server plays all providers, each under its name: `http://127.0.0.1:<port>/openrouter/v1`.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Dollars per million tokens of input and output: what the stand-in bills, whatever the gateway thinks.
BILLED = {
    "openai/gpt-4o": (Decimal("2.5"), Decimal(10)),
    "anthropic/claude-sonnet-4": (Decimal(3), Decimal(15)),
    "openai/gpt-oss-120b": (Decimal("0.15"), Decimal("0.6")),
    "openai/gpt-oss-20b": (Decimal("0.075"), Decimal("0.3")),
}


@dataclass
class Call:
    """A call that arrived: what was asked, with which key, and what it was billed."""

    provider: str
    key: str
    body: dict[str, Any]
    billed: Decimal = Decimal(0)

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def cap(self) -> int:
        """The output cap, under either of its names."""
        return int(self.body.get("max_tokens") or self.body["max_completion_tokens"])


Misbehaviour = Callable[["Handler", Call], None]


@dataclass
class Books:
    """One provider's behaviour and its books."""

    calls: list[Call] = field(default_factory=list)
    # What it does instead of answering, for the next calls; the last one stays.
    faults: list[Misbehaviour | None] = field(default_factory=list)
    # Keys that it knows; empty: any.
    keys: set[str] = field(default_factory=set)
    # Output tokens of an answer: a number, or None for as many as were allowed (the dearest case).
    output_tokens: int | None = 20
    input_tokens_per_byte: Decimal = Decimal("0.25")
    seconds: float = 0.0
    text: str = "Bonjour, je suis là."

    @property
    def billed(self) -> Decimal:
        return sum((call.billed for call in self.calls), Decimal(0))

    def next_fault(self) -> Misbehaviour | None:
        if not self.faults:
            return None
        return self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]


class ProviderStandIn:
    def __init__(self) -> None:
        self.books: dict[str, Books] = {}
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.standin = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __getitem__(self, provider: str) -> Books:
        with self.lock:
            return self.books.setdefault(provider, Books())

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{provider}/v1"

    def reset(self) -> None:
        with self.lock:
            self.books.clear()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    standin: ProviderStandIn
    daemon_threads = True
    request_queue_size = 1024


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        _, provider, *_rest = self.path.split("/")
        books = self.server.standin[provider]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        call = Call(provider, key, body)
        with self.server.standin.lock:
            books.calls.append(call)
            fault = books.next_fault()
        if books.keys and key not in books.keys:
            self.answer(401, {"error": {"message": f"Incorrect key {key}", "code": "invalid_api_key"}})
        elif fault is not None:
            fault(self, call)
        else:
            self.serve(books, call)

    def serve(self, books: Books, call: Call) -> None:
        time.sleep(books.seconds)
        usage = self.bill(books, call)
        asked = call.cap
        self.answer(
            200,
            {
                "id": "gen-1",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": call.model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": books.text},
                        "finish_reason": "length" if usage["completion_tokens"] == asked else "stop",
                    }
                ],
                "usage": usage,
            },
        )

    def bill(self, books: Books, call: Call) -> dict[str, Any]:
        asked = call.cap
        input_tokens = int(len(json.dumps(call.body["messages"])) * books.input_tokens_per_byte)
        output_tokens = asked if books.output_tokens is None else min(books.output_tokens, asked)
        price_in, price_out = BILLED.get(call.model, (Decimal(0), Decimal(0)))
        cost = (input_tokens * price_in + output_tokens * price_out) / 1_000_000
        if call.provider == "groq" or call.model.endswith(":free"):
            cost = Decimal(0)
        call.billed = cost
        usage: dict[str, Any] = {
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        }
        if call.provider == "openrouter":
            usage["cost"] = float(cost)
        return usage

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


# The ways of going wrong. Each is a `Misbehaviour`.


def error(status: int, body: Any = None, **headers: str) -> Misbehaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = {"error": {"message": "no", "code": status}} if body is None else body
    return lambda handler, call: handler.answer(status, content, named)


def hang(seconds: float) -> Misbehaviour:
    return lambda handler, call: time.sleep(seconds)


def error_inside_200(code: int = 502) -> Misbehaviour:
    return error(200, {"error": {"message": "upstream failed", "code": code}})


def html_502(handler: Handler, call: Call) -> None:
    handler.answer(502, b"<html><h1>502 Bad Gateway</h1></html>")


def cut_body(handler: Handler, call: Call) -> None:
    """Bills, promises a long body, and hangs up in the middle of it."""
    handler.bill(handler.server.standin[call.provider], call)
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "gen-1", "choices": [')
    handler.close_connection = True
