"""Finds secrets in text: by shape, by the words beside them, and by entropy, which placeholders lack.

A finding never shows the secret: only what it is, where it is, and a fingerprint by which a known one can be allowed.
"""

import hashlib
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PATTERNS = Path(__file__).with_name("patterns.toml")
# A line that holds this is looked over by a person, and passed.
ALLOWED = "scan_secrets: allow"
# How far before a secret a word about it may stand.
NEARBY = 60
LONGEST_LINE = 20_000
# Values that only stand for one.
PLACEHOLDER = re.compile(
    r"x{6}|your|example|placeholder|changeme|change_me|dummy|0123456789|1234567890|abcdefghij|\.\.\.|<|\$\{|\{\{",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Pattern:
    name: str
    about: str
    shape: re.Pattern[str]
    mark: str = ""
    near: tuple[str, ...] = ()
    entropy: float = 0.0
    # The shape itself gives it away, without a value of its own.
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """`path` and `line` are where it is; `commit` where only history has it."""

    about: str
    path: str
    line: int
    fingerprint: str
    hint: str
    commit: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" + (f" (commit {self.commit})" if self.commit else "")
        return f"{where}: {self.about}, {self.hint} [{self.fingerprint}]"


@cache
def patterns() -> tuple[Pattern, ...]:
    return tuple(_pattern(name, entry) for name, entry in tomllib.loads(PATTERNS.read_text()).items())


def _pattern(name: str, entry: dict[str, Any]) -> Pattern:
    # Not in the middle of a longer word; a key may end with a hyphen, so the usual word border would miss it.
    bordered = rf"(?<![A-Za-z0-9_-])(?:{entry.pop('shape')})(?![A-Za-z0-9])"
    entry["near"] = tuple(entry.get("near", ()))
    return Pattern(name=name, shape=re.compile(bordered), **entry)


def scan(text: str, path: str, *, allowed: Iterable[str] = ()) -> Iterator[Finding]:
    """The secrets of one file. `allowed` are fingerprints of known ones."""
    candidates = [pattern for pattern in patterns() if worth_a_look(pattern, text)]
    if not candidates:
        return
    known, before = frozenset(allowed), ""
    for number, line in enumerate(text.splitlines(), 1):
        if ALLOWED not in line:
            for piece in pieces(line):
                for pattern, secret in secrets_of(piece, before, candidates):
                    if (mark := fingerprint(secret)) not in known:
                        yield Finding(pattern.about, path, number, mark, hint(pattern, secret))
        before = line


def worth_a_look(pattern: Pattern, text: str) -> bool:
    """Nearly all files are done with after this."""
    if pattern.mark and pattern.mark not in text:
        return False
    lower = text.lower() if pattern.near else ""
    return (not pattern.near or any(word in lower for word in pattern.near)) and bool(pattern.shape.search(text))


def pieces(line: str) -> Iterator[str]:
    """A line, in parts where it is endless (minified, data); they overlap, so that a cut hides nothing."""
    for start in range(0, max(1, len(line)), LONGEST_LINE):
        yield line[max(0, start - 400) : start + LONGEST_LINE]


def secrets_of(line: str, before: str, candidates: Iterable[Pattern]) -> Iterator[tuple[Pattern, str]]:
    taken: list[tuple[int, int]] = []
    for pattern in candidates:
        if pattern.mark and pattern.mark not in line:
            continue
        for match in pattern.shape.finditer(line):
            secret, span = (
                (match["secret"], match.span("secret")) if "secret" in match.groupdict() else (match[0], match.span())
            )
            if any(start < span[1] and span[0] < end for start, end in taken):
                continue
            if is_named(pattern, line, before, span[0]) and is_real(pattern, secret):
                taken.append(span)
                yield pattern, secret


def is_named(pattern: Pattern, line: str, before: str, start: int) -> bool:
    if not pattern.near:
        return True
    words = f"{before[-NEARBY:]}\n{line[max(0, start - NEARBY) : start]}".lower()
    return any(word in words for word in pattern.near)


def is_real(pattern: Pattern, secret: str) -> bool:
    """Not a placeholder: those repeat themselves, count up, or say what they are."""
    if pattern.whole:
        return True
    value = secret.removeprefix(pattern.mark)
    return entropy(value) >= pattern.entropy and not PLACEHOLDER.search(value)


def entropy(text: str) -> float:
    """Shannon's, in bits per character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def fingerprint(secret: str) -> str:
    """Tells a known one apart, and cannot be turned back."""
    return hashlib.sha256(b"scan_secrets:" + secret.encode()).hexdigest()[:16]


def hint(pattern: Pattern, secret: str) -> str:
    """What it begins with, where that is the same for all of its kind, and its length."""
    shown = pattern.mark if pattern.mark and secret.startswith(pattern.mark) else ""
    return f"{shown}… ({len(secret)} characters)"
