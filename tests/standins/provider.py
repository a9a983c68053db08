"""A provider stand-in over real HTTP: speaks the wire format, misbehaves on request, and keeps its own books.

One server plays all providers, each under its name: `http://127.0.0.1:<port>/openrouter/v1`.
"""

import json
import sys
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
    # When it was billed.
    at: float = 0.0

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def cap(self) -> int:
        """The output cap, under either of its names."""
        return int(self.body.get("max_tokens") or self.body["max_completion_tokens"])


# Those of the providers at which a client that hangs up is billed no further.
ABORT_STOPS_BILLING = {"openrouter", "openai", "anthropic"}

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
    # A stream: one word is one token, this long apart; with comments in between if asked to.
    words: list[str] | None = None
    pace: float = 0.0
    comments: bool = False
    # What the whole message holds beside its text: tool calls, say.
    message: dict[str, Any] = field(default_factory=dict)
    # Streams whose client hung up, in the middle.
    hung_up: int = 0

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
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

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


def finish_reason(books: Books, sent: int, cap: int) -> str:
    if "tool_calls" in books.message:
        return "tool_calls"
    return "length" if sent == cap else "stop"


class Server(ThreadingHTTPServer):
    standin: ProviderStandIn
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up: that is what some tests are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two small writes: the second would wait 40 ms for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        _, provider, *_rest = self.path.split("/")
        books = self.server.standin[provider]
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if len(sent) < int(self.headers["Content-Length"]):
            # Its sender died over it: nothing that could be billed.
            self.close_connection = True
            return
        body = json.loads(sent)
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
        if call.body.get("stream"):
            self.stream(books, call)
            return
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
                        "message": {"role": "assistant", "content": books.text, **books.message},
                        "finish_reason": finish_reason(books, usage["completion_tokens"], asked),
                    }
                ],
                "usage": usage,
            },
        )

    def stream(self, books: Books, call: Call, *, until: int | None = None, obey: bool = True) -> None:
        """Word by word, each billed as it leaves; `until` that many, or past the cap where it does not `obey`."""
        words = (books.words or books.text.split(" "))[:until]
        cap = call.cap if obey else len(words)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        try:
            for word in words[:cap]:
                if books.comments:
                    self.chunk(b": PROCESSING\n\n")
                self.event(call, {"index": 0, "delta": {"content": word + " "}, "finish_reason": None})
                sent += 1
                time.sleep(books.pace)
            if until is None:
                reason = finish_reason(books, sent, call.cap)
                self.event(call, {"index": 0, "delta": dict(books.message), "finish_reason": reason})
        except OSError:
            books.hung_up += 1
            raise
        finally:
            # Hanging up ends the bill where it does, and elsewhere the answer is billed whole.
            billed = sent if call.provider in ABORT_STOPS_BILLING else min(cap, len(words))
            usage = self.bill(books, call, output_tokens=billed)
        if until is not None:
            return
        if call.provider != "groq" or call.body.get("stream_options", {}).get("include_usage"):
            self.chunk(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def event(self, call: Call, choice: dict[str, Any]) -> None:
        body = {"id": "gen-1", "object": "chat.completion.chunk", "model": call.model, "choices": [choice]}
        self.chunk(b"data: " + json.dumps(body).encode() + b"\n\n")

    def chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        self.wfile.flush()

    def bill(self, books: Books, call: Call, *, output_tokens: int | None = None) -> dict[str, Any]:
        content = json.dumps(call.body["messages"], ensure_ascii=False).encode()
        input_tokens = int(len(content) * books.input_tokens_per_byte)
        if output_tokens is None:
            output_tokens = call.cap if books.output_tokens is None else min(books.output_tokens, call.cap)
        price_in, price_out = BILLED.get(call.model, (Decimal(0), Decimal(0)))
        cost = (input_tokens * price_in + output_tokens * price_out) / 1_000_000
        if call.provider == "groq" or call.model.endswith(":free"):
            cost = Decimal(0)
        call.billed, call.at = cost, time.time()
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


def hang_and_bill(seconds: float) -> Misbehaviour:
    """Says nothing for so long, bills the whole answer, and hangs up."""

    def misbehave(handler: Handler, call: Call) -> None:
        handler.bill(handler.server.standin[call.provider], call)
        time.sleep(seconds)
        handler.close_connection = True

    return misbehave


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


def cut_stream(after: int) -> Misbehaviour:
    """So many words, and then the connection is gone."""

    def misbehave(handler: Handler, call: Call) -> None:
        handler.stream(handler.server.standin[call.provider], call, until=after)
        handler.close_connection = True

    return misbehave


def error_in_stream(after: int) -> Misbehaviour:
    """So many words, and then an event that is an error."""

    def misbehave(handler: Handler, call: Call) -> None:
        handler.stream(handler.server.standin[call.provider], call, until=after)
        body = {"error": {"code": 502, "message": "upstream died"}, "choices": [{"finish_reason": "error"}]}
        handler.chunk(b"data: " + json.dumps(body).encode() + b"\n\n")
        handler.chunk(b"")

    return misbehave


def error_in_one_packet(handler: Handler, call: Call) -> None:
    """Two words and the error after them leave together."""
    said = {"choices": [{"index": 0, "delta": {"content": "Bon "}, "finish_reason": None}]}
    failed = {"error": {"code": 502, "message": "upstream died"}, "choices": [{"finish_reason": "error"}]}
    handler.bill(handler.server.standin[call.provider], call, output_tokens=2)
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.chunk(b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (said, said, failed)))
    handler.chunk(b"")


def silence_in_stream(after: int, seconds: float) -> Misbehaviour:
    """So many words, and then only comments."""

    def misbehave(handler: Handler, call: Call) -> None:
        handler.stream(handler.server.standin[call.provider], call, until=after)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            handler.chunk(b": keep-alive\n\n")
            time.sleep(0.1)
        handler.close_connection = True

    return misbehave


def runaway(handler: Handler, call: Call) -> None:
    """Does not stop where it was told to."""
    books = handler.server.standin[call.provider]
    books.words = ["word"] * 100_000
    handler.stream(books, call, obey=False)
