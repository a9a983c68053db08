"""Our servers fetch nothing that a caller names: an image's address goes to the provider as it is, and that is all."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from accounts.models import User
from conftest import key_of
from tests.standins.provider import ProviderStandIn

pytestmark = pytest.mark.django_db

ADDRESSES = [
    "http://127.0.0.1:{port}/secret.png",
    "http://localhost:{port}/secret.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:{port}/secret.png",
    "https://evil.example/redirects-to-localhost.png",
]


@pytest.fixture
def trap() -> Any:
    """A server that nobody is to come to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        yield server


@pytest.fixture
def connections(monkeypatch: Any) -> list[Any]:
    """Every address that a socket of this process connects to, and every name that is looked up."""
    seen: list[Any] = []
    real, look_up = socket.socket.connect, socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        seen.append(address)
        real(self, address)

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((host, args[0] if args else None))
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return seen


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_image_is_not_fetched(
    alice: User, standin: ProviderStandIn, trap: socket.socket, connections: list[Any], address: str
) -> None:
    url = address.format(port=trap.getsockname()[1])
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
    headers = {"Authorization": f"Bearer {key_of(alice)}"}
    answer = Client().post("/v1/chat/completions", body, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    with pytest.raises(TimeoutError):
        trap.accept()
    parts = urlsplit(url)
    there = (parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme])
    assert there not in [tuple(seen[:2]) for seen in connections]
    sent = standin["openrouter"].calls[0].body
    assert sent["messages"][0]["content"][1]["image_url"]["url"] == url


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://x/", "data:text/html,x", "//x"]
)
def test_other_schemes_do_not_even_go_on(alice: User, standin: ProviderStandIn, address: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": address}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
    headers = {"Authorization": f"Bearer {key_of(alice)}"}
    answer = Client().post("/v1/chat/completions", body, content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert standin["openrouter"].calls == []


@pytest.mark.parametrize("name", ["base_url", "api_base", "webhook", "webhook_endpoint", "callback_url", "api_key"])
def test_no_caller_names_where_we_go(alice: User, standin: ProviderStandIn, connections: list[Any], name: str) -> None:
    evil = "http://169.254.169.254/"
    headers = {"Authorization": f"Bearer {key_of(alice)}", f"X-{name.replace('_', '-')}": evil}
    for path in ("/v1/chat/completions", "/api/v2/chat"):
        messages = [{"role": "user", "content": "x"}]
        body = {"model": "gpt-4o", "messages": messages, name: evil, "extra_body": {name: evil}}
        assert Client().post(path, body, content_type="application/json", headers=headers).status_code == 200
    assert [seen for seen in connections if seen[0] == "169.254.169.254"] == []
    assert evil not in str([call.body for call in standin["openrouter"].calls])
