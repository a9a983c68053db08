"""An admitted chat on its way through the routes: one attempt after another, each with its own end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, Self

from accounts import changes
from accounts.authentication import Caller
from accounts.changes import OutOfDate
from accounts.fresh import release_connection
from billing.entitlements import Entitlement, entitlements_for
from usage.admission import Asked, Attempt, Offer, Ticket, Usage, admit
from usage.errors import Banned, BudgetExceeded, Refused, UsageError

from . import catalogue
from .catalogue import Route
from .errors import CallerFault, Empty, EveryProviderFailed, KeyTrouble, ProviderRefused, TryAnotherRoute, Unsent
from .pricing import offer_of, usage_of
from .providers.registry import Key
from .routing import Plan, keys_to_try, plan
from .types import Chat, Reply

logger = logging.getLogger(__name__)

# Why something else than the asked model answered.
Substitution = Literal["tier", "split", "budget", "outage"]


@dataclass(frozen=True, slots=True)
class Origin:
    """By which door a chat came in, and under which ids. `since` is the moment (see `accounts.changes`) from before the
    caller was looked up, and `identify` looks them up again by the same credentials."""

    caller: Caller
    endpoint: str
    request_id: str
    client_request_id: str = ""
    since: int | None = None
    # It holds the credentials: not for a log.
    identify: Callable[[], Caller] | None = field(default=None, repr=False)

    def anew(self) -> Origin:
        """With the caller as of now."""
        return replace(self, caller=self.identify() if self.identify else self.caller, since=None)


@dataclass(frozen=True, slots=True)
class Way:
    """Which route answers, and why that one."""

    route: Route
    fallback_level: int
    substitution: Substitution | None
    budget_scope: str | None


@dataclass(frozen=True, slots=True)
class Served:
    """An answer, and how it came about."""

    ticket: Ticket
    chat: Chat
    way: Way
    reply: Reply
    usage: Usage


def begin(origin: Origin, chat: Chat) -> Journey:
    """Find the model, price its routes, be admitted. Raises `CallerFault`, `UsageError` or `EveryProviderFailed`; if
    the credentials were revoked a moment ago by another process, `Unauthenticated`."""
    try:
        return _begin(origin, chat)
    except OutOfDate:
        # Another process changed the caller, the tier or the models. What is loaded now is newer than the request, so
        # the second time nothing is checked, and there is no third.
        return _begin(origin.anew(), chat)


def _begin(origin: Origin, chat: Chat) -> Journey:
    try:
        routes, asked = _decide(origin, chat)
    except (Banned, CallerFault, EveryProviderFailed):
        # Refused by what this process remembers: not before it knows that this is still true.
        if origin.since is not None:
            changes.look(origin.caller.user_id, even_if_blind=True)
            changes.tokens(origin.caller.user_id, since=origin.since)
        raise
    about_it = about(origin, asked.entitlement, chat)
    try:
        ticket = admit(asked)
    except UsageError as error:
        log_refusal(about_it, error)
        raise
    if ticket.budget_scope:
        logger.info("Budget: no room on a paid route (%s)", ticket.budget_scope, extra=about_it)
    return Journey(origin, chat, routes, ticket)


def _decide(origin: Origin, chat: Chat) -> tuple[Plan, Asked]:
    """From what this process remembers of the caller, the tier and the models."""
    if origin.caller.banned:
        # As PostgreSQL had it; Redis has its own copy of a ban, which admission looks at.
        raise Banned
    try:
        entitlement = entitlements_for(origin.caller.user_id)
        known = catalogue.catalogue()
        model = catalogue.find(chat.model)
    finally:
        # Before a provider is awaited: a connection held through that wait is one that nobody else has.
        release_connection()
    routes = plan(model, chat, entitlement, known)
    if not routes.routes:
        raise EveryProviderFailed
    asked = Asked(
        request_id=origin.request_id,
        user_id=origin.caller.user_id,
        entitlement=entitlement,
        offers=[offer_of(route, chat, chat.max_tokens or model.default_output_tokens) for route in routes.routes],
        cheap_from=routes.cheap_from,
        eligible=routes.eligible,
        endpoint=origin.endpoint,
        requested_model=chat.model,
        streamed=chat.stream,
        client_request_id=origin.client_request_id,
        api_key_id=origin.caller.api_key_id,
        since=origin.since,
    )
    return routes, asked


class Journey:
    """Leaving it by an exception gives the message back, unless a byte of an answer has left us."""

    def __init__(self, origin: Origin, chat: Chat, plan: Plan, ticket: Ticket) -> None:
        self.origin = origin
        self.chat = chat
        self.plan = plan
        self.ticket = ticket
        self.delivered = False

    def attempts(self) -> Iterator[RouteAttempt]:
        """The routes in order, each with its keys, each attempt with its hold; until the caller stops asking."""
        for place in range(self.ticket.start, len(self.plan.routes)):
            for key in keys_to_try(self.plan.routes[place]):
                try:
                    money = self.ticket.attempt(place)
                except BudgetExceeded:
                    break
                attempt = RouteAttempt(self, place, key, money)
                yield attempt
                if not attempt.another_key_may_do:
                    break

    def served(self, attempt: RouteAttempt, reply: Reply, usage: Usage) -> Served:
        """Settle, and tell what came of it."""
        attempt.money.settle(usage)
        return Served(self.ticket, self.chat, self.way(attempt.place), reply, usage)

    def way(self, place: int) -> Way:
        substitution = self.substitution(place)
        return Way(
            route=self.plan.routes[place],
            fallback_level=self.fallback_level(place),
            substitution=substitution,
            budget_scope=self.ticket.budget_scope if substitution == "budget" else None,
        )

    def substitution(self, place: int) -> Substitution | None:
        """Why something else than the asked model is served at this place; None where it is not."""
        if place < self.plan.own:
            return None
        if self.plan.locked:
            return "tier"
        if self.plan.eligible and not self.ticket.good:
            return "split"
        return "budget" if self.ticket.budget_scope else "outage"

    def fallback_level(self, place: int) -> int:
        """0: what was asked, or what the tier, the split or the budget leave of it; 1: the stand-in, because of a
        failure; 2: the model of last resort."""
        if place >= max(self.plan.own, self.plan.last_from):
            return 2
        return 1 if self.substitution(place) == "outage" else 0

    @property
    def about(self) -> dict[str, object]:
        return about(self.origin, self.ticket.asked.entitlement, self.chat)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.delivered:
            self.ticket.let_go()
            self.ticket.give_back()


class RouteAttempt:
    """One try of one route with one key. What is raised inside says how it ended; `TryAnotherRoute` stays inside."""

    def __init__(self, journey: Journey, place: int, key: Key, money: Attempt) -> None:
        self.place = place
        self.route = journey.plan.routes[place]
        self.key = key
        self.money = money
        self.another_key_may_do = False
        self._journey = journey
        money.fallback_level = journey.fallback_level(place)

    @property
    def offer(self) -> Offer:
        return self._journey.ticket.asked.offers[self.place]

    @property
    def caller(self) -> int:
        """The user's id."""
        return self._journey.origin.caller.user_id

    @property
    def bills_what_it_shows(self) -> bool:
        """Whether no thoughts are billed that do not come."""
        return not (self.route.thinks_unseen or self._journey.chat.asks_to_think)

    def delivered(self) -> None:
        """A byte of the answer leaves us: from now on there is no other route, and the message counts."""
        self.money.delivered = self._journey.delivered = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        match error:
            case Unsent():
                self.money.unsent()
            case Empty():
                told = Reply(message={}, finish_reason="", tokens=error.tokens, cost=error.cost)
                self.money.unknown(error.code, usage_of(self.route, told, self.money.hold))
            case ProviderRefused() | CallerFault() if not self.money.delivered:
                self.money.refuse(error.code)
            case TryAnotherRoute() | CallerFault():
                # Unclear; or an error in the middle of an answer, which may be billed as far as it came.
                self.money.unknown(error.code)
            case _:
                self.money.__exit__(kind, error, trace)
        if isinstance(error, TryAnotherRoute | CallerFault):
            logger.warning(
                "Error: %s: %s",
                self.route.subject,
                error.code,
                extra=self._journey.about | {"provider": self.route.provider},
            )
        self.another_key_may_do = isinstance(error, KeyTrouble)
        return self._stays_inside(error) and not self.money.delivered

    def _stays_inside(self, error: BaseException | None) -> bool:
        """Whether the next route is tried. What a substitute finds fault with is not the caller's fault: they asked
        for another model, which might have taken it."""
        if isinstance(error, CallerFault):
            return self.place >= self._journey.plan.own
        return isinstance(error, TryAnotherRoute)


def log_refusal(whose: dict[str, object], error: UsageError) -> None:
    """With the words that operators grep for."""
    match error:
        case BudgetExceeded():
            event = f"Budget: refused, nothing free is left ({error.scope})"
        case Refused():
            event = f"Rate limit: refused ({type(error).__name__})"
        case _:
            event = f"Error: not now ({type(error).__name__})"
    logger.warning(event, extra=whose)


def about(origin: Origin, entitlement: Entitlement, chat: Chat) -> dict[str, object]:
    return {
        "request_id": origin.request_id,
        "user_id": origin.caller.user_id,
        "tier": entitlement.tier,
        "model": chat.model,
    }
