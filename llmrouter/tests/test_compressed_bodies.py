"""Bodies as clients really send them: compressed, with a byte order mark, with half of an emoji."""

import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.test import Client

from accounts.models import User
from llmrouter import bodies
from llmrouter.bodies import MOST_MEMBERS, decoded
from llmrouter.errors import InvalidChat
from tests.standins.provider import ProviderStandIn

from .talking import Talker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

PROMPT = "كم عدد الحروف ؟ Été."
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}]}).encode()


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def streamed_zstd(body: bytes) -> bytes:
    """As curl and most libraries write it: without its size at the front."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(body) + packer.flush()


CODINGS = {
    "gzip": ("gzip", gzip.compress),
    "gzip by its old name": ("x-gzip", gzip.compress),
    "gzip in upper case": (" GZIP ", gzip.compress),
    "gzip in two members": ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without zlib's frame": ("deflate", bare_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
    "zstd in a stream": ("zstd", streamed_zstd),
    "zstd in two frames": ("zstd", lambda body: zstandard.compress(body[:9]) + zstandard.compress(body[9:])),
    "twice": ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
    "not at all": ("identity", bytes),
    "a charset where a coding belongs": ("UTF-8", bytes),
}


def send(talker: Talker, path: str, body: bytes, coding: str) -> Any:
    return talker.send(path, body, **{"Content-Encoding": coding})


@pytest.mark.parametrize(("coding", "pack"), CODINGS.values(), ids=CODINGS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v2/chat"])
def test_a_compressed_body_is_read(pro: Talker, standin: ProviderStandIn, coding: str, pack: Any, path: str) -> None:
    response = send(pro, path, pack(BODY), coding)
    assert response.status_code == 200, response.content
    assert standin["openrouter"].calls[0].body["messages"] == [{"role": "user", "content": PROMPT}]


@pytest.mark.parametrize("coding", ["compress", "snappy", "gzip, lz4", "gzip, gzip, gzip"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v2/chat"])
def test_an_encoding_that_we_do_not_read_is_named(pro: Talker, coding: str, path: str) -> None:
    response = send(pro, path, BODY, coding)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_encoding")
    assert coding.removeprefix("gzip, ").split(",")[0] in response.json()["error"]["message"]
    assert response["Accept-Encoding"] == "gzip, deflate, br, zstd"


def test_the_encoding_is_named_in_the_callers_language(pro: Talker) -> None:
    headers = {"Content-Encoding": "snappy", "Accept-Language": "fr"}
    message = pro.send("/api/v2/chat", BODY, **headers).json()["error"]["message"]
    assert "snappy" in message
    assert "Nous ne lisons pas" in message


BOMBS = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", streamed_zstd),
    "gzip in gzip": ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
}


@pytest.mark.parametrize(("coding", "pack"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_at_the_bound_of_a_body(pro: Talker, coding: str, pack: Any) -> None:
    bomb = pack(b'{"prompt": "' + b"a" * 40_000_000 + b'"}')
    assert len(bomb) < 100_000
    response = send(pro, "/v1/chat/completions", bomb, coding)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "body_too_large")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_no_more_than_the_bound_is_ever_decompressed(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder itself stops, at most one of its own buffers past the bound (that of brotli has 32 KiB)."""
    pack = dict(CODINGS.values())[coding]
    found: list[int] = []
    decode = bodies.DECODERS[coding]

    def watched(body: bytes, most: int) -> bytes:
        out = decode(body, most)
        found.append(len(out))
        return out

    monkeypatch.setitem(bodies.DECODERS, coding, watched)
    assert decoded(pack(b"a" * 1000), coding, 1000) == b"a" * 1000
    with pytest.raises(RequestDataTooBig):
        decoded(pack(b"a" * 1_000_000), coding, 1000)
    assert found[0] == 1000
    assert 1000 < found[1] <= 33 * 1024


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("broken", [b"{}", BODY, b"cut"])
def test_a_body_that_cannot_be_decompressed_is_refused(pro: Talker, coding: str, broken: bytes) -> None:
    pack = dict(CODINGS.values())[coding]
    body = pack(BODY)[:-12] if broken == b"cut" else broken
    response = send(pro, "/v1/chat/completions", body, coding)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_thousands_of_empty_members_are_not_unpacked() -> None:
    """Each would be copied with all that follows it."""
    with pytest.raises(InvalidChat):
        decoded(gzip.compress(b"") * (MOST_MEMBERS + 1), "gzip", 1000)


def test_forms_in_json_may_be_compressed_too(alice: User) -> None:
    form = json.dumps({"email": alice.email, "password": "correct horse battery"}).encode()

    def log_in(body: bytes, coding: str) -> Any:
        headers = {"Content-Encoding": coding}
        return Client().post("/api/auth/login", body, content_type="application/json", headers=headers)

    assert log_in(gzip.compress(form), "gzip").status_code == 200
    assert log_in(b"\xef\xbb\xbf" + form, "identity").status_code == 200
    assert log_in(form, "lz4").status_code == 415
    assert log_in(form, "br").status_code == 400
    bomb = gzip.compress(b" " * 1_000_000 + form)
    assert (log_in(bomb, "gzip").status_code, log_in(bomb, "gzip").json()["error"]["code"]) == (400, "body_too_large")


# What is in them


def test_a_byte_order_mark_is_passed_over(pro: Talker, standin: ProviderStandIn) -> None:
    for path in ("/v1/chat/completions", "/api/v2/chat"):
        assert pro.send(path, b"\xef\xbb\xbf" + BODY).status_code == 200
    assert {call.body["messages"][0]["content"] for call in standin["openrouter"].calls} == {PROMPT}


HALVES = {
    "the first half": (rb"\ud83d", "\ufffd"),
    "the second half": (rb"\ude00", "\ufffd"),
    "in upper case": (rb"\uD83D.", "\ufffd."),
    "two first halves": (rb"\ud83d\ud83d", "\ufffd\ufffd"),
    "the wrong way round": (rb"\ude00\ud83d", "\ufffd\ufffd"),
    "half behind a whole one": (rb"\ud83d\ude00\ud83d", "😀\ufffd"),
    "half before a whole one": (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
    "half behind a backslash": (rb"\\\ud83d", "\\\ufffd"),
    "the text of an escape beside a half": (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
    "as bytes": (b"a\xed\xa0\xbdb", "a\ufffdb"),
    "a pair as bytes": (b"\xed\xa0\xbd\xed\xb8\x80", "😀"),
}


@pytest.mark.parametrize(("written", "read"), HALVES.values(), ids=HALVES)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v2/chat"])
def test_half_of_a_character_does_not_break_a_conversation(
    pro: Talker, standin: ProviderStandIn, written: bytes, read: str, path: str
) -> None:
    body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "@"}]}'.replace(b"@", written)
    assert pro.send(path, body).status_code == 200
    assert standin["openrouter"].calls[0].body["messages"][0]["content"] == read


@pytest.mark.parametrize("body", [b'{"prompt": "\xe9t\xe9"}', rb'{"prompt": "\ud83d', rb'{"prompt": \ud83d}'])
def test_what_is_not_json_stays_refused(pro: Talker, body: bytes) -> None:
    response = pro.send("/api/v2/chat", body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_a_crowd_of_halves_is_refused_rather_than_mended(pro: Talker) -> None:
    body = b'{"prompt": "' + rb"\ud83d " * (bodies.MOST_SURROGATES + 1) + b'"}'
    assert len(body) < settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert pro.send("/api/v2/chat", body).status_code == 400
