"""Whether a key works: asked of its provider by a call that costs nothing.

A key goes to its own provider's address and nowhere else: no redirect is followed, no proxy or .netrc of the machine
is read, and one that looks like another provider's is not sent at all.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import orjson
import requests
from django.conf import settings

from billing.errors import Busy, GatewayError, PaymentsNotConfigured
from billing.errors import KeyRefused as ChargilyKeyRefused
from billing.gateways import the_gateway
from llmrouter.errors import KeyBusy, KeyRefused, OutOfCredit
from llmrouter.providers import registry
from llmrouter.providers.faults import fault
from llmrouter.providers.registry import Connection, Key, Provider

AT_ONCE = 8
CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
WHOLE_SECONDS = 15.0
# A list of models may be long (OpenRouter's has half a megabyte); what matters stands in the status.
MOST_BYTES = 4 * 1024 * 1024
CHARGILY = "chargily"
CHARGILY_CONSOLE = "https://pay.chargily.com"


class Outcome(StrEnum):
    ABSENT = "not configured"
    UNTRIED = "not tried"
    ACCEPTED = "accepted"
    BUSY = "busy"
    REFUSED = "refused"
    OUT_OF_CREDIT = "out of credit"
    MISPLACED = "another's"
    UNREACHABLE = "unreachable"
    UNCLEAR = "unclear"

    @property
    def bad(self) -> bool:
        return self not in {Outcome.ABSENT, Outcome.UNTRIED, Outcome.ACCEPTED, Outcome.BUSY}

    @property
    def needs_console(self) -> bool:
        """Whether it is mended where keys are made."""
        return self in {Outcome.REFUSED, Outcome.OUT_OF_CREDIT, Outcome.MISPLACED}


@dataclass(frozen=True, slots=True)
class Target:
    """A key to be checked, and how."""

    provider: str
    variable: str
    console: str
    subject: str
    ordinal: int
    of: int
    well_formed: bool
    ask: Callable[[], "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    target: Target
    verdict: Verdict


def targets() -> list[Target]:
    """Every configured key, and every keyless provider that has an address."""
    found = [
        target_of(connection, number, key)
        for connection in registry.connections()
        if connection.provider.dialect != "demo"
        for number, key in enumerate(connection.keys, 1)
    ]
    return found + chargily_targets()


def target_of(connection: Connection, number: int, key: Key) -> Target:
    provider = connection.provider
    return Target(
        provider=provider.name,
        variable=f"{provider.name.upper()}_BASE_URL" if provider.keyless else provider.variable,
        console=provider.console,
        subject=key.subject,
        ordinal=number,
        of=len(connection.keys),
        well_formed=provider.keyless or provider.knows_shape(key.text),
        ask=lambda: ask(connection, key),
    )


def is_anothers(connection: Connection, key: str) -> bool:
    """Whether a key bears another provider's mark: to send it would be to give it away. (At an address of the
    operator's own choice it may well be right.)"""
    provider = connection.provider
    if connection.base_url != provider.base_url.rstrip("/") or (provider.mark and key.startswith(provider.mark)):
        return False
    return any(p.mark and key.startswith(p.mark) and p.knows_shape(key) for p in registry.PROVIDERS.values())


def chargily_targets() -> list[Target]:
    if not settings.CHARGILY_SECRET_KEY:
        return []
    key = Key(f"{CHARGILY}#{registry.mark_of(settings.CHARGILY_SECRET_KEY)}", settings.CHARGILY_SECRET_KEY)
    test = key.text.startswith("test_")
    right_mode = test == (settings.CHARGILY_MODE == "test")
    return [
        Target(
            provider=CHARGILY,
            variable="CHARGILY_SECRET_KEY",
            console=CHARGILY_CONSOLE,
            subject=key.subject,
            ordinal=1,
            of=1,
            well_formed=len(key.text) >= 16 and right_mode,
            ask=ask_chargily,
        )
    ]


def absent() -> list[tuple[str, str, str]]:
    """Name, variable and console of each provider that has no key here."""
    there = {connection.provider.name for connection in registry.connections()}
    missing = [
        (p.name, f"{p.name.upper()}_BASE_URL" if p.keyless else p.variable, p.console)
        for p in registry.PROVIDERS.values()
        if p.name not in there and p.dialect != "demo"
    ]
    return missing + ([] if settings.CHARGILY_SECRET_KEY else [(CHARGILY, "CHARGILY_SECRET_KEY", CHARGILY_CONSOLE)])


def check(wanted: Iterable[Target]) -> Iterator[Checked]:
    """As they come, several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {pool.submit(target.ask): target for target in wanted}
        for future in as_completed(asked):
            yield Checked(asked[future], future.result())


def ask(connection: Connection, key: Key) -> Verdict:
    provider = connection.provider
    if is_anothers(connection, key.text):
        return Verdict(Outcome.MISPLACED)
    if key not in connection.usable_keys:
        # Nobody has to be asked.
        return Verdict(Outcome.REFUSED)
    try:
        status, headers, body = call(connection, key)
    except (requests.RequestException, OSError):
        return Verdict(Outcome.UNREACHABLE)
    return judge(provider, status, headers, body)


def call(connection: Connection, key: Key) -> tuple[int, Mapping[str, str], bytes]:
    check, deadline = connection.provider.check, time.monotonic() + WHOLE_SECONDS
    with requests.Session() as session:
        session.trust_env = False
        with session.request(
            check.method,
            connection.check_url,
            headers=headers_of(connection, key),
            data=None if check.body is None else orjson.dumps(check.body),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = b""
            for chunk in answer.iter_content(64 * 1024):
                body += chunk
                if len(body) > MOST_BYTES or time.monotonic() > deadline:
                    raise requests.ReadTimeout
            return answer.status_code, answer.headers, body


def headers_of(connection: Connection, key: Key) -> dict[str, str]:
    sent = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "IAFactory/2"}
    if key.text and connection.provider.check.auth == "x-api-key":
        sent["x-api-key"] = key.text
    elif key.text:
        sent["Authorization"] = f"Bearer {key.text}"
    return sent | dict(connection.provider.headers)


def judge(provider: Provider, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """By the error's own code first, by the status second: 400 may mean a bad key, and 429 an empty account."""
    said = parsed(body)
    if status == 200 and status in provider.check.accepted and not (isinstance(said, dict) and said.get("error")):
        if said is None:
            # Some other server answers there.
            return Verdict(Outcome.UNCLEAR, status)
        return Verdict(Outcome.ACCEPTED if has_credit(provider, said) else Outcome.OUT_OF_CREDIT, status)
    trouble = fault(provider, status, headers, body, model="")
    if isinstance(trouble, OutOfCredit):
        return Verdict(Outcome.OUT_OF_CREDIT, status)
    if isinstance(trouble, KeyRefused) or status in provider.check.refused:
        return Verdict(Outcome.REFUSED, status)
    if status in provider.check.accepted:
        return Verdict(Outcome.ACCEPTED, status)
    if isinstance(trouble, KeyBusy):
        return Verdict(Outcome.BUSY, status)
    return Verdict(Outcome.UNREACHABLE if status >= 500 else Outcome.UNCLEAR, status)


def parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def has_credit(provider: Provider, said: Any) -> bool:
    """What is left, where the answer tells it; where it does not (OpenRouter's null is no limit), nobody knows."""
    if not provider.check.credit:
        return True
    for name in provider.check.credit.split("."):
        said = said.get(name) if isinstance(said, dict) else None
    if said is None or isinstance(said, bool):
        return said is not False
    try:
        return Decimal(str(said)) > 0
    except InvalidOperation:
        return True


def ask_chargily() -> Verdict:
    try:
        the_gateway().try_key()
    except PaymentsNotConfigured:
        return Verdict(Outcome.ABSENT)
    except ChargilyKeyRefused:
        return Verdict(Outcome.REFUSED)
    except Busy:
        return Verdict(Outcome.BUSY)
    except GatewayError:
        return Verdict(Outcome.UNREACHABLE)
    return Verdict(Outcome.ACCEPTED)
