"""How long a text can become before it is split into tokens: some tokenizers normalise it first.

No tokenizer makes more tokens of a text than it has bytes of UTF-8: at worst each byte is one. But one that normalises
counts the bytes of what it made: NFKC (Claude's first tokenizers, SentencePiece) turns U+FDFA, three bytes, into
eighteen letters, 33 bytes; NFC takes some letters apart. So a bound in bytes has to hold for these forms too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from unicodedata import combining, normalize

import gevent

ASCII = bytes(range(128))
# The event loop serves others between two slices of a long text; one slice takes some two milliseconds.
SLICE = 100_000
# Counting each of so many characters by itself is faster than counting all.
FEW = 64
HANGUL = range(0xAC00, 0xD7A4)


def growth(raw: bytes) -> int:
    """By how many bytes at most the text (UTF-8) is longer in NFC or NFKC than as it stands."""
    if raw.isascii():
        return 0
    # No form changes ASCII, and what one character becomes does not depend on those around it (see `grows`).
    text = raw.translate(None, ASCII).decode()
    slices = [text[start : start + SLICE] for start in range(0, len(text), SLICE)]
    kinds = {character for each in yielding(slices) for character in set(each)}
    has_marks = any(map(combining, kinds))
    growing = {character: more for character in kinds if (more := grows(character, has_marks))}
    return sum(growth_of_slice(each, growing) for each in yielding(slices)) if growing else 0


def growth_of_slice(text: str, growing: Mapping[str, int]) -> int:
    if len(growing) <= FEW:
        return sum(text.count(character) * more for character, more in growing.items())
    counted = Counter(text)
    return sum(counted[character] * more for character, more in growing.items())


@lru_cache(maxsize=8192)
def grows(character: str, has_marks: bool) -> int:
    """Bytes by which this character can be longer in NFC or NFKC.

    Both forms take a text apart and put it together again, and no composed character is longer than its parts (a test
    looks at all of Unicode). Without combining marks in the text, a character comes out as it would by itself, or
    shorter where it joins the one before. A mark can keep it from being put together again: then it is as long as its
    parts. A syllable of Hangul is always put together again.
    """
    if has_marks and ord(character) not in HANGUL:
        forms = normalize("NFKD", character), normalize("NFD", character)
    else:
        forms = normalize("NFKC", character), normalize("NFC", character)
    return max(0, *(len(form.encode()) - len(character.encode()) for form in forms))


def yielding(slices: list[str]) -> Iterator[str]:
    for place, each in enumerate(slices):
        if place:
            gevent.sleep(0)
        yield each
