"""Admission: one question to Redis decides ban, limits, split and the first hold; a ticket is what comes back.

    with ticket.attempt(place) as attempt:      # a hold and a row of its own
        …                                       # attempt.max_tokens is what the hold pays for
        attempt.settle(receipt)

Leaving an attempt ends it in exactly one of: settled, refused, unknown, or unsent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson
from django.conf import settings

from accounts import changes
from accounts.changes import OutOfDate
from billing.entitlements import Entitlement

from . import budget
from .clock import SECOND
from .errors import Backlogged, Banned, BudgetExceeded, Limits, QuotaExceeded, RateLimited, Recovering
from .flights import UNSENT, End, Flight, Message
from .process import this_process

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """A route as the money sees it. `ceiling` and `input` are nano-dollars, `output` nano-dollars per million tokens;
    a ceiling of 0 is a route that costs nothing. No fewer than `min_tokens` of output may be clamped to."""

    provider: str
    model: str
    max_tokens: int
    ceiling: int = 0
    input: int = 0
    output: int = 0
    min_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for. `cheap_from` is the place of the first offer of the cheap lane; `eligible` calls take a
    turn in the split between the lanes. `since` is the moment (see `accounts.changes`) from before the caller and the
    entitlement were looked up: the call is admitted only if neither was changed meanwhile; None: whatever was."""

    request_id: str
    user_id: int
    entitlement: Entitlement
    offers: Sequence[Offer]
    cheap_from: int
    eligible: bool
    endpoint: str
    requested_model: str
    streamed: bool = False
    client_request_id: str = ""
    api_key_id: int | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used: tokens, and money in nano-dollars (`cost` was billed, `list_cost` is the list price)."""

    tokens_input: int = 0
    tokens_output: int = 0
    cost: int = 0
    list_cost: int = 0
    finish_reason: str = ""
    estimated: bool = False


def admit(asked: Asked) -> Ticket:
    """Raises `Refused` (nothing was counted), `NotNow`, or `OutOfDate`."""
    facts: dict[str, Any] = {
        "request_id": asked.request_id,
        "user_id": asked.user_id,
        "tier": asked.entitlement.tier,
        "endpoint": asked.endpoint,
        "requested_model": asked.requested_model,
        "streamed": asked.streamed,
        "client_request_id": asked.client_request_id,
        "api_key_id": asked.api_key_id,
    }
    status, found = _ask(
        "admit",
        {
            **_money(asked, asked.offers),
            "request": asked.request_id,
            "attempt": 1,
            "row": orjson.dumps(facts).decode(),
            "per_minute": asked.entitlement.requests_per_minute,
            "per_day": asked.entitlement.messages_per_day,
            "groq_percent": asked.entitlement.groq_percent,
            "eligible": asked.eligible,
            "cheap_from": asked.cheap_from + 1,
            "backlog": settings.USAGE_BACKLOG_LIMIT,
            **_known_changes(asked),
        },
    )
    limits = _limits(asked.entitlement, found) if "day" in found else None
    match status:
        case "ok":
            assert limits is not None
            return Ticket(asked, facts, limits, found)
        case "stale":
            changes.learn(asked.user_id, found["own"], found["everyone"])
            raise OutOfDate
        case "banned":
            raise Banned
        case "backlog":
            raise Backlogged
        case "rate_limited":
            raise RateLimited(limits)
        case "quota_exceeded":
            raise QuotaExceeded(limits)
        case _:
            raise BudgetExceeded(found["scope"], limits)


class Ticket:
    """An admitted call. Everything about it counts in the day of its admission."""

    def __init__(self, asked: Asked, facts: dict[str, Any], limits: Limits, found: dict[str, Any]) -> None:
        self.asked = asked
        self.request_id = asked.request_id
        self.limits = limits
        self.day: str = found["day"]
        self.admitted_at: int = found["now"]
        # Whether the split gave this call to the good lane, and the offer that admission chose and holds.
        self.good = bool(found["good"])
        self.start: int = found["place"] - 1
        # What ruled out an earlier offer: the platform's day (`global`) or the user's own (`user`).
        self.budget_scope: str | None = found["scope"] or None
        facts["budget_fallback"] = self.budget_scope is not None
        facts["split_turn"] = found["turn"] if found["turn"] >= 0 else None
        self._facts = orjson.dumps(facts).decode()
        self._attempts = 0
        this_process().opened(Message(self.request_id, asked.user_id, self.day, self.admitted_at))
        self._first: Attempt | None = self._begin(self.start, found["hold"], found["max_tokens"])

    def attempt(self, place: int) -> Attempt:
        """Begin an attempt on the offer at `place`; raises `BudgetExceeded` when its hold does not fit."""
        if self._first is not None and place == self.start:
            first, self._first = self._first, None
            return first
        self.let_go()
        offer = self.asked.offers[place]
        status, found = _ask(
            "hold",
            {
                **_money(self.asked, [offer]),
                "request": self.request_id,
                "attempt": self._attempts + 1,
                "row": self._facts,
                "day": self.day,
                "admitted_at": str(self.admitted_at),
            },
        )
        if status != "ok":
            raise BudgetExceeded(found["scope"], self.limits)
        return self._begin(place, found["hold"], found["max_tokens"])

    def let_go(self) -> None:
        """Release the hold of admission if its offer was not tried."""
        if self._first is not None:
            self._first.unsent()
            self._first = None

    def give_back(self) -> None:
        """The call failed and not a byte of an answer left: its message does not count."""
        this_process().give_back(self.request_id)

    def _begin(self, place: int, hold: int, max_tokens: int) -> Attempt:
        self._attempts += 1
        offer = self.asked.offers[place]
        flight = Flight(
            request_id=self.request_id,
            attempt=self._attempts,
            user_id=self.asked.user_id,
            day=self.day,
            admitted_at=self.admitted_at,
            provider=offer.provider,
            model=offer.model,
            hold=hold,
            facts=self._facts,
        )
        this_process().began(flight)
        return Attempt(flight, max_tokens, user_budget=self.asked.entitlement.user_daily_budget)


class Attempt:
    """One try of one route, with a hold and a row of its own. `max_tokens` is the output that the hold pays for.

    An end has two amounts (docs/guarantees.md): what counts in the operator's budget, and what the caller is charged.
    The caller is charged nothing for an answer that cannot be used, up to `user_budget` nano-dollars a day.
    """

    def __init__(self, flight: Flight, max_tokens: int, *, user_budget: int | None) -> None:
        self.max_tokens = max_tokens
        self.user_budget = user_budget
        self.hold = flight.hold
        self.ended = False
        self.fallback_level = 0
        # Whether a byte of the answer has left us: from then on the message counts, however this ends.
        self.delivered = False
        self._flight = flight
        self._began = time.monotonic()

    def settle(self, usage: Usage) -> None:
        """The provider told what it used (or, `estimated`, we know a bound of it)."""
        if self.hold and usage.cost > self.hold:
            logger.error(
                "Budget: a bill of %d nano-dollars is above its hold of %d",
                usage.cost,
                self.hold,
                extra={"request_id": self._flight.request_id, "provider": self._flight.provider},
            )
        self._end(usage, charged=usage.cost, counted=True)

    def refuse(self, code: str) -> None:
        """The provider answered with an error: it bills nothing."""
        self._end(Usage(), charged=0, error=code, counted=self.delivered)

    def unknown(self, code: str, usage: Usage | None = None) -> None:
        """The caller cannot use what came. It costs what the provider told (`usage`), else the whole hold until a late
        usage says otherwise; the caller is charged nothing."""
        billed = usage or Usage(cost=self.hold, estimated=True)
        self._end(billed, charged=0, error=code, counted=self.delivered)

    def hung_up(self, code: str) -> None:
        """The caller left before the answer was whole. It may be billed, so the whole hold is charged."""
        billed = Usage(cost=self.hold, estimated=True)
        self._end(billed, charged=billed.cost, error=code, counted=self.delivered)

    def unsent(self) -> None:
        """Known never to have reached the provider: no cost and no row."""
        self.ended = True
        this_process().settle(self._flight, UNSENT)

    def _end(self, usage: Usage, *, charged: int, counted: bool, error: str = "") -> None:
        self.ended = True
        says = {
            "tokens_input": usage.tokens_input,
            "tokens_output": usage.tokens_output,
            "list_cost": str(usage.list_cost),
            "latency_ms": round((time.monotonic() - self._began) * 1000),
            "finish_reason": usage.finish_reason,
            "error_flag": bool(error),
            "error_message": error,
            "fallback_level": self.fallback_level,
        }
        end = End(usage.cost, charged, self.user_budget, says, usage.estimated, counted)
        this_process().settle(self._flight, end)

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # No path leaks a hold or loses a cost: an attempt that no code ended is settled at its whole hold.
        if self.ended:
            return
        if isinstance(error, GeneratorExit):
            # A stream is closed by its caller's hang-up only.
            self.hung_up("interrupted")
        else:
            self.unknown("interrupted" if kind is None or not issubclass(kind, Exception) else "internal_error")


def _ask(script: str, call: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    for _ in range(budget.TRIES):
        process = this_process()
        status, found = process.admit(call) if script == "admit" else process.execute(script, call)
        if status != "rebuild":
            return status, found
        budget.recount(found["day"])
    raise Recovering


def _known_changes(asked: Asked) -> dict[str, str]:
    if asked.since is None:
        return {}
    own, everyone = changes.tokens(asked.user_id, since=asked.since)
    return {"own": own, "everyone": everyone}


def _money(asked: Asked, offers: Sequence[Offer]) -> dict[str, Any]:
    own = asked.entitlement.user_daily_budget
    return {
        "user": asked.user_id,
        "budget": budget.limit(),
        "user_budget": -1 if own is None else own,
        "offers": [_offer(offer) for offer in offers],
    }


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "provider": offer.provider,
        "model": offer.model,
        "ceiling": offer.ceiling,
        "input": offer.input,
        "output": offer.output,
        "max_tokens": offer.max_tokens,
        "min_tokens": offer.min_tokens,
    }


def _limits(entitlement: Entitlement, found: dict[str, Any]) -> Limits:
    return Limits(
        per_minute=entitlement.requests_per_minute,
        rate_left=found["rate_left"],
        rate_reset=found["rate_reset"] / SECOND,
        per_day=entitlement.messages_per_day,
        quota_used=found["quota_used"],
        resets_at=found["midnight"] // SECOND,
        now=found["now"] / SECOND,
    )
