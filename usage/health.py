"""Circuit breakers, shared by all processes: what keeps failing is left alone, and tried again by one request.

A subject is what a failure can say something about: a provider (`groq`), one of its models
(`groq/openai/gpt-oss-120b`), one of its keys (`groq#1a2b3c4d`), that key's credit (`groq#1a2b3c4d$`), or that key's
standing with one model (`groq#1a2b3c4d/openai/gpt-oss-120b`).
What other processes found out is known here within a tick of the ledger (1 s).
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson

from . import clock
from .errors import NotNow
from .process import this_process
from .redis import reaching_redis

logger = logging.getLogger(__name__)

# Tried again within 30 s, whatever Retry-After says (that is only shown).
REST_SECONDS = 25.0
FAILURES_TO_OPEN = 3
# Of a subject that exists, some call makes the try that is due within this time of its rest; or there are no calls.
FORGOTTEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """An open breaker. Times are seconds since the epoch; `retry_after` is what the provider asked for, in seconds."""

    subject: str
    reason: str
    since: float
    until: float
    retry_after: float | None

    @classmethod
    def parse(cls, subject: str, text: str) -> "Breaker":
        state = orjson.loads(text)
        return cls(
            subject,
            state["reason"],
            int(state["since"]) / clock.SECOND,
            int(state["until"]) / clock.SECOND,
            state.get("retry_after"),
        )


def all_well() -> bool:
    """Whether no breaker at all is open."""
    return not this_process().breakers


def resting(subject: str) -> bool:
    """Whether it is left alone for now."""
    text = this_process().breakers.get(subject)
    return text is not None and Breaker.parse(subject, text).until > clock.seconds()


def claim(subject: str) -> bool:
    """Whether this call may go there: always to a healthy one, and to one whose rest is over for a single caller,
    who tries it for all."""
    if subject not in this_process().breakers:
        return True
    return not resting(subject) and bool(_tell("probe", subject, rest=REST_SECONDS).get("mine"))


def failed(
    subject: str, reason: str, *, at_once: bool = False, retry_after: float | None = None, caller: int | None = None
) -> None:
    """Count a failure. A breaker opens after three in a row, or at once for what trying again does not mend. With a
    `caller` it may be due to what they asked: of theirs one counts in the time of a rest."""
    rest = REST_SECONDS if retry_after is None else min(REST_SECONDS, max(1.0, retry_after))
    found = _tell(
        "fail",
        subject,
        reason=reason,
        rest=rest,
        threshold=1 if at_once else FAILURES_TO_OPEN,
        retry_after=retry_after,
        caller=caller,
    )
    process = this_process()
    process.failures[subject] = process.failures.get(subject, 0) + 1
    if found.get("state"):
        process.breakers[subject] = found["state"]
        logger.error("Error: %s is left alone for %.0f s: %s", subject, rest, reason)


def succeeded(subject: str) -> None:
    """Forget its failures; costs nothing where there were none."""
    process = this_process()
    if subject in process.failures or subject in process.breakers:
        process.failures.pop(subject, None)
        process.breakers.pop(subject, None)
        _tell("heal", subject)


def forget_all_but(known: Collection[str]) -> None:
    """Forget what is said of subjects that no longer exist: a key that was rotated out, a model that was retired. No
    call would ever try them again, so they would stay open for ever. One that was open a moment ago is left: a process
    that still runs with the old settings may know it."""
    process = this_process()
    for subject in {*process.breakers, *process.failures}.difference(known):
        text = process.breakers.get(subject)
        if text is None or Breaker.parse(subject, text).until < clock.seconds() - FORGOTTEN_SECONDS:
            logger.info("The breaker of %s is dropped: the subject no longer exists", subject)
            process.failures.pop(subject, None)
            process.breakers.pop(subject, None)
            _tell("heal", subject)


def breakers_now() -> list[Breaker]:
    """What is left alone now, as Redis has it. Raises `RedisAway`."""
    with reaching_redis() as redis:
        found = redis.hgetall("health:open")
    return [Breaker.parse(subject, text) for subject, text in sorted(found.items())]


def _tell(verb: str, subject: str, *, rest: float = 0, **about: Any) -> dict[str, Any]:
    try:
        return this_process().execute(
            "health", {"verb": verb, "subject": subject, "rest": round(rest * clock.SECOND), **about}
        )[1]
    except NotNow:
        # A breaker is advice: a call that cannot reach Redis is refused anyway.
        logger.warning("Error: Redis is away; the state of %s is not told to the other processes", subject)
        return {}
