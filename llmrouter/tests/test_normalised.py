"""A hold is a bound also where a tokenizer normalises the text before it splits it."""

import json
import re
import sys
from typing import Any
from unicodedata import decomposition, normalize

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter import normalised
from llmrouter.normalised import SLICE, growth
from llmrouter.pricing import input_bound
from llmrouter.serializers import parse_v2
from llmrouter.types import Chat
from llmrouter.v1.parse import parse_v1

# One letter of three bytes that NFKC makes eighteen letters of: "may God bless him and grant him peace".
SALLA = "\ufdfa"
# What grows, what joins, what keeps others from joining, and ordinary text.
AWKWARD = "ﷺﷻ㌖㍿ﬀ…½é\u0301\u0323\u0344אֱ\ufb2c한각\u1100\u1161\u11a8가सांके𝅗𝅥أإلا\u064b\u0654ÅΩ①㈠a 1"


def longest(text: str) -> int:
    """In bytes, in the forms in which tokenizers split it."""
    return max(len(form.encode()) for form in (text, normalize("NFC", text), normalize("NFKC", text)))


def bound(text: str) -> int:
    raw = text.encode()
    return len(raw) + growth(raw)


@given(st.text(st.sampled_from(AWKWARD), max_size=40) | st.text(max_size=40))
def test_no_normalised_form_is_longer_than_the_bound(text: str) -> None:
    assert longest(text) <= bound(text)


def test_each_character_of_unicode_is_within_the_bound() -> None:
    for start in range(0, sys.maxunicode + 1, 997):
        block = [chr(point) for point in range(start, min(start + 997, sys.maxunicode + 1))]
        text = "\u200b".join(character for character in block if not "\ud800" <= character <= "\udfff")
        assert longest(text) <= bound(text)


def test_no_composed_character_is_longer_than_its_parts() -> None:
    """What the bound is proven from: to put a text together again never makes it longer."""
    for point in range(0x80, sys.maxunicode + 1):
        parts = decomposition(chr(point)).split()
        if parts and not parts[0].startswith("<") and normalize("NFC", normalize("NFD", chr(point))) == chr(point):
            assert len(chr(point).encode()) <= sum(len(chr(int(part, 16)).encode()) for part in parts)


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (SALLA, 30),
        (SALLA * 1000, 30_000),
        ("\u3316", 15),
        ("plain ASCII", 0),
        ("Bonjour, ça va très bien à l'école", 0),
        ("السلام عليكم ورحمة الله", 0),
        ("한국어로 말해 주세요", 0),
        ("中文字符", 0),
        ("😀👍🏽", 0),
    ],
)
def test_ordinary_text_is_held_for_as_before(text: str, more: int) -> None:
    assert growth(text.encode()) == more


def test_a_mark_that_keeps_a_letter_apart_is_counted() -> None:
    """U+00E9 is two bytes; with a dot below it becomes U+1EB9 and an accent by itself, five bytes for four."""
    text = "é\u0323"
    assert len(normalize("NFC", text).encode()) == 5
    assert bound(text) >= 5


def test_many_different_characters_that_grow_are_all_counted() -> None:
    growing = [c for c in map(chr, range(0xF900, 0x10000)) if longest(c) > len(c.encode())]
    assert len(growing) > normalised.FEW
    text = "".join(growing * 3)
    assert longest(text) <= bound(text)


def test_a_long_text_lets_others_be_served_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[float] = []
    monkeypatch.setattr("gevent.sleep", turns.append)
    assert growth((SALLA * (3 * SLICE)).encode()) == 90 * SLICE
    assert len(turns) == 4


@pytest.mark.parametrize("place", ["content", "part", "tool", "arguments", "format", "thought"])
@given(text=st.text(st.sampled_from(AWKWARD), min_size=1, max_size=200))
def test_the_hold_covers_a_tokenizer_that_makes_a_token_of_each_byte(place: str, text: str) -> None:
    chat = parse_v1(orjson.dumps(chat_with(place, text)))
    held = input_bound(chat, 0) + sum(chat.thought_bytes.values())
    assert held >= longest(text)


def chat_with(place: str, text: str) -> dict[str, Any]:
    user: dict[str, Any] = {"role": "user", "content": text if place == "content" else "x"}
    messages = [user]
    body: dict[str, Any] = {"model": "gpt-4o", "messages": messages}
    if place == "part":
        user["content"] = [{"type": "text", "text": text}]
    if place == "tool":
        body["tools"] = [{"type": "function", "function": {"name": "f", "description": text}}]
    if place == "arguments":
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": orjson.dumps([text]).decode()}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ]
    if place == "format":
        schema = {"name": "n", "schema": {"type": "object", "description": text}}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if place == "thought":
        messages += [{"role": "assistant", "content": "x", "reasoning_content": text}, dict(user)]
    return body


def test_the_simple_call_is_held_for_likewise() -> None:
    chat = parse_v2(orjson.dumps({"prompt": SALLA * 100}))
    assert input_bound(chat, 0) >= longest(SALLA * 100)


def test_a_prompt_is_too_long_by_its_bytes_and_not_by_the_bound() -> None:
    """Whether a prompt is too long is judged low; the growth belongs to the money alone."""
    chat = parse_v2(orjson.dumps({"prompt": SALLA * 100}))
    assert chat.input_bytes < 400
    assert chat.growth == 3000


def test_the_preamble_of_gpt_oss_is_held_for() -> None:
    """Its template puts a system message of 61 tokens before the chat, and three behind it."""
    chat = Chat("gpt-oss-120b", [{"role": "user", "content": "hi"}], None, {}, input_bytes=32)
    assert input_bound(chat, 0, "openai/gpt-oss-120b") >= 61 + 3 + 4 + 1
    assert input_bound(chat, 0, "openai/gpt-4o") == 32 + 16


def printed_again(schema: Any) -> str:
    """As templates do that explain tools: with line breaks and an indent."""
    return json.dumps(schema, indent=4, ensure_ascii=False)


# A run of blanks is one token; all else at worst a token a byte.
TOKEN = re.compile(rb"\s+|.", re.DOTALL)


@pytest.mark.parametrize(
    "schema", [[1] * 500, [[]] * 500, {"a": [{}] * 200}, {"enum": list(range(10)) * 50}, ["a"] * 300]
)
@pytest.mark.parametrize("place", ["tools", "response_format"])
def test_a_schema_that_is_printed_again_with_line_breaks_is_held_for(place: str, schema: Any) -> None:
    body: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    if place == "tools":
        tool = {"name": "f", "parameters": {"type": "object", "x": schema}}
        body["tools"] = [{"type": "function", "function": tool}]
    else:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object", "x": schema}},
        }
    printed = len(TOKEN.findall(printed_again(body[place]).encode()))
    assert input_bound(parse_v1(orjson.dumps(body)), 0) >= printed + 512
