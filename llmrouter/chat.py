"""The story of a chat: find the model, price it, be admitted, try the routes, settle."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from accounts.authentication import Caller
from accounts.fresh import release_connection
from billing.entitlements import Entitlement, entitlements_for
from usage.admission import Asked, Attempt, Ticket, Usage, admit
from usage.errors import BudgetExceeded, Refused, UsageError

from . import catalogue, router
from .catalogue import Route
from .errors import CallerFault, EveryProviderFailed, KeyTrouble, ProviderRefused, TryAnotherRoute, Unclear, Unsent
from .pricing import offer_of, usage_of
from .routing import Plan, keys_to_try, plan
from .types import Chat, Reply

logger = logging.getLogger(__name__)

# Why another model than the one asked for answered.
Substitution = Literal["tier", "split", "budget", "outage"]


@dataclass(frozen=True, slots=True)
class Origin:
    """By which door a chat came in, and under which ids."""

    caller: Caller
    endpoint: str
    request_id: str
    client_request_id: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """An answer, and how it came about."""

    ticket: Ticket
    chat: Chat
    route: Route
    reply: Reply
    usage: Usage
    fallback_level: int
    substitution: Substitution | None

    @property
    def fallback(self) -> bool:
        return self.fallback_level > 0


def complete(origin: Origin, chat: Chat) -> Served:
    """A whole answer. Raises `CallerFault`, `UsageError` or `EveryProviderFailed`; only what is served counts."""
    journey = begin(origin, chat)
    try:
        for place, route in journey.routes():
            for key in keys_to_try(route):
                try:
                    with journey.attempt(place) as attempt:
                        reply = router.send(route, key, chat, attempt.max_tokens)
                        usage = usage_of(route, reply, attempt.hold)
                        attempt.settle(usage)
                    return journey.served(place, reply, usage)
                except KeyTrouble:
                    continue
                except (TryAnotherRoute, BudgetExceeded):
                    break
        raise EveryProviderFailed
    except BaseException:
        journey.ticket.let_go()
        journey.ticket.give_back()
        raise


def begin(origin: Origin, chat: Chat) -> "Journey":
    """Everything up to admission; the database's connection goes back to its pool before a provider is awaited."""
    try:
        entitlement = entitlements_for(origin.caller.user_id)
        known = catalogue.catalogue()
        model = catalogue.find(chat.model)
    finally:
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
    )
    try:
        ticket = admit(asked)
    except UsageError as error:
        log_refusal(origin, entitlement, chat, error)
        raise
    if ticket.budget_scope:
        logger.info("Budget: no room on a paid route (%s)", ticket.budget_scope, extra=about(origin, entitlement, chat))
    return Journey(origin, chat, routes, ticket)


class Journey:
    """An admitted chat on its way through the routes."""

    def __init__(self, origin: Origin, chat: Chat, plan: Plan, ticket: Ticket) -> None:
        self.origin = origin
        self.chat = chat
        self.plan = plan
        self.ticket = ticket

    def routes(self) -> Iterator[tuple[int, Route]]:
        for place in range(self.ticket.start, len(self.plan.routes)):
            yield place, self.plan.routes[place]

    @contextmanager
    def attempt(self, place: int) -> Iterator[Attempt]:
        """An attempt on a route, ended as what happened there says."""
        with self.ticket.attempt(place) as attempt:
            attempt.fallback_level = self.fallback_level(place)
            try:
                yield attempt
            except Unsent as error:
                attempt.unsent()
                self._log_failure(place, error)
                raise
            except (ProviderRefused, CallerFault) as error:
                attempt.refuse(error.code)
                self._log_failure(place, error)
                raise
            except Unclear as error:
                attempt.unknown(error.code)
                self._log_failure(place, error)
                raise

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

    def served(self, place: int, reply: Reply, usage: Usage) -> Served:
        return Served(
            ticket=self.ticket,
            chat=self.chat,
            route=self.plan.routes[place],
            reply=reply,
            usage=usage,
            fallback_level=self.fallback_level(place),
            substitution=self.substitution(place),
        )

    def _log_failure(self, place: int, error: TryAnotherRoute | CallerFault) -> None:
        route = self.plan.routes[place]
        logger.warning(
            "Error: %s/%s: %s",
            route.provider,
            route.upstream,
            error.code,
            extra=about(self.origin, self.ticket.asked.entitlement, self.chat) | {"provider": route.provider},
        )


def log_refusal(origin: Origin, entitlement: Entitlement, chat: Chat, error: UsageError) -> None:
    """With the words that operators grep for."""
    match error:
        case BudgetExceeded():
            event = f"Budget: refused, nothing free is left ({error.scope})"
        case Refused():
            event = f"Rate limit: refused ({type(error).__name__})"
        case _:
            event = f"Error: not now ({type(error).__name__})"
    logger.warning(event, extra=about(origin, entitlement, chat))


def about(origin: Origin, entitlement: Entitlement, chat: Chat) -> dict[str, object]:
    return {"user_id": origin.caller.user_id, "tier": entitlement.tier, "model": chat.model}
