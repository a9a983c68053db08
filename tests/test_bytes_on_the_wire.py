"""What plain clients make of our bytes, and we of theirs: the running product over HTTP, `requests` and curl."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import brotli
import pytest
import requests
import zstandard

from conftest import key_of, person
from tests.product import Customer, Product
from tests.standins.provider import ProviderStandIn

pytestmark = pytest.mark.live

# In UTF-8 some of these letters have the bytes 0x85 and 0x8A: in Latin-1 those end a line.
ARABIC = "كم عدد الحروف في هذه الجملة ؟ أربعة عشر."


@pytest.fixture
def alice(product: Product, standin_server: ProviderStandIn) -> Customer:
    standin_server["openrouter"].text = ARABIC
    return Customer(product, key_of(person("alice@example.dz", "enterprise")))


def asked(path: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": ARABIC}]
    return {"model": "gpt-4o", "messages": messages, **more}


def texts(lines: Iterator[str]) -> str:
    """As a client would that reads line by line."""
    found = ""
    for line in lines:
        if line.startswith("data: ") and line != "data: [DONE]":
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                found += choice["delta"].get("content") or ""
    return found.strip()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v2/chat"])
def test_requests_reads_a_stream_line_by_line(alice: Customer, path: str) -> None:
    answer = alice.post(path, asked(path, stream=True), stream=True)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.encoding == "utf-8"
    assert texts(answer.iter_lines(decode_unicode=True)) == ARABIC


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v2/chat"])
def test_requests_reads_a_whole_answer_as_text(alice: Customer, path: str) -> None:
    answer = alice.post(path, asked(path))
    assert answer.encoding == "utf-8"
    assert ARABIC in answer.text


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_and_a_filter_read_a_stream(alice: Customer) -> None:
    headers = [f"Authorization: {alice.session.headers['Authorization']!s}", "Content-Type: application/json"]
    command = ["curl", "-sN", f"{alice.product.url}/v1/chat/completions", "--data-binary", "@-"]
    for header in headers:
        command += ["-H", header]
    body = json.dumps(asked("/v1/chat/completions", stream=True))
    ran = subprocess.run(command, input=body.encode(), capture_output=True, timeout=60, check=True)
    assert texts(iter(ran.stdout.decode().split("\n"))) == ARABIC


def test_every_text_that_we_send_names_its_charset(alice: Customer) -> None:
    """JSON needs none: it is UTF-8 by its standard, and read so."""
    for path in ("/", "/pricing", "/admin/colors.css", "/static/iafactory/admin.js", "/api/docs", "/nothing"):
        answer = requests.get(alice.product.url + path, timeout=60, headers={"Accept": "text/html"})
        kind = answer.headers["Content-Type"].lower().replace('"', "")
        assert "charset=utf-8" in kind or kind == "application/json", (path, kind)


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.compress)]
)
@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_compressed_request_is_read(
    alice: Customer, standin_server: ProviderStandIn, coding: str, pack: Any, in_chunks: bool
) -> None:
    packed = pack(json.dumps(asked("/v1/chat/completions")).encode())
    body: Any = iter([packed[:20], packed[20:]]) if in_chunks else packed
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = alice.session.post(alice.product.url + "/v1/chat/completions", data=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert standin_server["openrouter"].calls[0].body["messages"][0]["content"] == ARABIC


def test_a_bomb_is_refused_and_the_worker_goes_on(alice: Customer) -> None:
    bomb = gzip.compress(b'{"prompt": "' + b"a" * 200_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = alice.session.post(alice.product.url + "/api/v2/chat", data=bomb, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "body_too_large")
    assert alice.chat().status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v2/chat"])
def test_a_browser_elsewhere_may_call_and_read(alice: Customer, path: str) -> None:
    origin = "https://app.example.dz"
    asking = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os,x-stainless-lang",
    }
    allowed = requests.options(alice.product.url + path, headers=asking, timeout=60).headers
    assert allowed["Access-Control-Allow-Origin"] == origin
    assert "x-stainless-os" in allowed["Access-Control-Allow-Headers"]
    answer = alice.post(path, asked(path, stream=True), headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
