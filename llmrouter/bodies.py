"""The body of a request: decompressed within a bound, and read as JSON even where its writer left marks in it."""

import re
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import orjson
import zstandard
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .errors import InvalidChat, UnsupportedEncoding

# No client compresses twice on purpose; each coding more would cost its time again.
MOST_CODINGS = 2
# What is left behind each member is copied.
MOST_MEMBERS = 16
# Some clients name the charset where the compression belongs.
NO_CODING = ("", "identity", "utf-8", "utf8")
# A window larger than the largest body is of no use to a request, and would cost us its memory.
LARGEST_WINDOW = 8 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Each is replaced by a call of Python: more of them would hold up the worker.
MOST_SURROGATES = 50_000

_HALF = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Escaped surrogates in a row. A backslash that is itself escaped begins none.
_SURROGATES = re.compile(rb"(?<!\\)((?:\\\\)*+)((?:" + _HALF + rb")++)")
_PAIR_OR_HALF = re.compile(rb"(" + _PAIR + rb")|" + _HALF)


def body_of(request: HttpRequest) -> bytes:
    """The body as its sender wrote it. Raises `UnsupportedEncoding`, `RequestDataTooBig` or `InvalidChat`."""
    codings = request.META.get("HTTP_CONTENT_ENCODING")
    return decoded(request.body, codings, settings.DATA_UPLOAD_MAX_MEMORY_SIZE) if codings else request.body


def decoded(body: bytes, codings: str, most: int) -> bytes:
    """`body` without its content codings, which are named in the order in which they were applied. A body of more than
    `most` bytes is refused before it is decompressed further, so that a small one cannot fill the memory."""
    names = [name for part in codings.split(",") if (name := part.strip().lower()) not in NO_CODING]
    unknown = next((name for name in names if name not in DECODERS), None)
    if unknown is not None or len(names) > MOST_CODINGS:
        raise UnsupportedEncoding(unknown or codings, READABLE)
    for name in reversed(names):
        try:
            body = DECODERS[name](body, most)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
            raise InvalidChat(_("the body cannot be decompressed (%(encoding)s)"), encoding=name) from error
        if len(body) > most:
            raise RequestDataTooBig
    return body


def inflate(body: bytes, most: int, wbits: int) -> bytes:
    """One member after another: gzip allows several. `EOFError`: the body ends within one, or has too many."""
    found = b""
    for _member in range(MOST_MEMBERS):
        reader = zlib.decompressobj(wbits)
        found += reader.decompress(body, most + 1 - len(found))
        if len(found) > most:
            return found
        if not reader.eof:
            raise EOFError
        body = reader.unused_data
        if not body:
            return found
    raise EOFError


def gunzip(body: bytes, most: int) -> bytes:
    return inflate(body, most, 16 + zlib.MAX_WBITS)


def undeflate(body: bytes, most: int) -> bytes:
    """HTTP's `deflate` is zlib's format; some clients send the bare one."""
    try:
        return inflate(body, most, zlib.MAX_WBITS)
    except zlib.error:
        return inflate(body, most, -zlib.MAX_WBITS)


def unbrotli(body: bytes, most: int) -> bytes:
    reader = brotli.Decompressor()
    found: bytes = reader.process(body, output_buffer_limit=most + 1)
    while len(found) <= most and not reader.is_finished():
        # It gives what it has by and by; where nothing more comes, the body ended too early.
        if not (more := reader.process(b"", output_buffer_limit=most + 1 - len(found))):
            raise EOFError
        found += more
    return found


def unzstd(body: bytes, most: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).stream_reader(body, read_across_frames=True)
    return reader.read(most + 1)


DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": gunzip,
    "x-gzip": gunzip,
    "deflate": undeflate,
    "br": unbrotli,
    "zstd": unzstd,
}
# As a client reads it, in the answer's `Accept-Encoding`.
READABLE = "gzip, deflate, br, zstd"


def parsed_json(body: bytes) -> Any:
    """JSON, whatever its writer did to its text: a byte order mark is passed over, half of a surrogate pair (an emoji
    cut in two by a client that counts in UTF-16) becomes U+FFFD. Raises `orjson.JSONDecodeError`."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        mended = without_half_characters(body)
        if mended == body:
            raise
        return orjson.loads(mended)


def without_half_characters(body: bytes) -> bytes:
    if body.count(b"\\ud") + body.count(b"\\uD") > MOST_SURROGATES:
        return body
    body = _SURROGATES.sub(lambda row: row[1] + _PAIR_OR_HALF.sub(lambda one: one[1] or rb"\ufffd", row[2]), body)
    try:
        text = body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        # It is no UTF-8 at all: we do not guess what it is.
        return body
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
