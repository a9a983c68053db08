"""The Redis where the money is: short time-outs, no blind retry, and the scripts, which share one line per process."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import redis
from django.conf import settings
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.causes import causes
from accounts.deadline import TooLate
from accounts.once import Once

from .errors import RedisAway
from .line import Line

logger = logging.getLogger(__name__)

# Waiting for a connection, making one, and one answer: under a second in all, even when all three run out.
POOL_SECONDS = 0.2
CONNECT_SECONDS = 0.25
ANSWER_SECONDS = 0.45
# A recovery moves whole days of counters, and nobody's answer waits for it.
PATIENT_SECONDS = 10.0
CONNECTIONS = 64
# Greeting a slow server (connect, AUTH, SELECT) takes several answers before the first of ours.
GREETING_SECONDS = 0.45

SCRIPTS = Path(__file__).parent / "scripts"
TAKES_HOLDS = {"admit", "hold"}


@dataclass(frozen=True, slots=True)
class Script:
    text: str
    sha: str


def _make_client(answer_seconds: float = ANSWER_SECONDS) -> Any:
    """Untyped, because redis-py's types leave open whether answers are text (ours are) or bytes."""
    pool = redis.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        max_connections=CONNECTIONS,
        timeout=POOL_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        # A script repeated blindly after a time-out would admit, or settle, twice.
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    return redis.Redis(connection_pool=pool)


def _make_line() -> Line:
    pool = client().connection_pool
    return Line(lambda: pool.connection_class(**pool.connection_kwargs), GREETING_SECONDS, ANSWER_SECONDS)


client: Once[Any] = Once(_make_client)
patient_client: Once[Any] = Once(lambda: _make_client(PATIENT_SECONDS))
# What the scripts go over: thousands of calls at once ask two questions each.
line: Once[Line] = Once(_make_line)
# A forked child must not speak, or listen, on its parent's line.
os.register_at_fork(after_in_child=line.forget)


def forget_clients() -> None:
    """Connect anew, to where the settings point now."""
    client.forget()
    patient_client.forget()
    line.forget()


@cache
def script(name: str) -> Script:
    parts = ["prelude", "offers", name] if name in TAKES_HOLDS else ["prelude", name]
    text = "".join((SCRIPTS / f"{part}.lua").read_text() for part in parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@contextmanager
def reaching_redis(*, patiently: bool = False) -> Iterator[Any]:
    """The client, its failures told as `RedisAway` (after which a command may have run or not)."""
    try:
        yield patient_client() if patiently else client()
    except exceptions.ResponseError as error:
        # It answers, but will not do its work: out of memory or disk, not the master, or a script of ours is wrong.
        causes.error(logger, "Redis refuses", error)
        raise RedisAway from error
    except (exceptions.RedisError, TooLate) as error:
        raise RedisAway from error


def run_patiently(name: str, call: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A script of a recovery, which may move a lot: on a connection of its own, not on the line of the calls."""
    with reaching_redis(patiently=True) as redis:
        status, *pairs = redis.eval(script(name).text, 0, orjson.dumps(call))
    return status, dict(zip(pairs[::2], pairs[1::2], strict=True))


def run_script(name: str, call: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Run a script; its status and its named values."""
    loaded, payload = script(name), orjson.dumps(call)
    with reaching_redis():
        try:
            answer = line().ask("EVALSHA", loaded.sha, 0, payload)
        except exceptions.NoScriptError:
            # Redis forgot its scripts (a restart, SCRIPT FLUSH), so this one has not run.
            answer = line().ask("EVAL", loaded.text, 0, payload)
    status, *pairs = answer
    return status, dict(zip(pairs[::2], pairs[1::2], strict=True))
