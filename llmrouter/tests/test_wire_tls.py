"""The providers' connections under TLS: who they are, and that what they say before they hang up is heard."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmrouter.errors import Unsent
from llmrouter.providers import wire
from llmrouter.providers.http import post

from .test_wire import OK, PATIENCE


@dataclass
class Tls:
    """A server whose certificate is its own; it answers what `answer` says to what it has read."""

    url: str
    certificate: Path
    heard: list[bytes]
    answer: bytes = OK

    def be_trusted(self) -> None:
        known = wire.origin("https", self.url.split("/")[2])
        assert known._context is not None
        known._context.load_verify_locations(self.certificate)

    def serve(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        while True:
            try:
                line, _address = listening.accept()
            except OSError:
                return
            # Whoever hangs up on unread bytes resets, and drops what Nagle holds back behind the unanswered tickets of
            # the handshake: the answer. Servers do without Nagle.
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError), context.wrap_socket(line, server_side=True) as tls:
                if request := tls.recv(4096):
                    self.heard.append(request)
                    tls.sendall(self.answer)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Tls]:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    # Debian's ca-certificates bring it.
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*request.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    wire.origin.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Tls(f"https://localhost:{listening.getsockname()[1]}/", certificate, [])
        threading.Thread(target=server.serve, args=(listening, context), daemon=True).start()
        yield server
    wire.origin.cache_clear()


def test_a_certificate_that_nobody_vouches_for(tls: Tls) -> None:
    """Nothing was sent to whoever it is."""
    with pytest.raises(Unsent, match="tls"):
        post(tls.url, {}, b"{}", PATIENCE)
    assert tls.heard == []
    tls.be_trusted()
    assert post(tls.url, {}, b"{}", PATIENCE).body == b"{}"
    assert tls.heard[0].startswith(b"POST / HTTP/1.1\r\nHost: localhost:")


def test_a_large_body_refused_by_its_head_over_tls(tls: Tls) -> None:
    tls.be_trusted()
    tls.answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    assert post(tls.url, {}, b"x" * 8_000_000, PATIENCE).status == 413
    tls.answer = OK
    assert post(tls.url, {}, b"{}", PATIENCE).status == 200
