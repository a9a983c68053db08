"""Which routes a call may take, in order: the asked model's own, the stand-in's, the last resort's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from random import random

from django.utils.translation import gettext_lazy as _

from billing.entitlements import Entitlement
from usage import health

from .catalogue import Catalogue, Model, Route
from .errors import InvalidChat, PromptTooLong
from .providers.registry import Key
from .types import Chat

# No language packs more bytes into a token than this (Arabic comes to 6). Blanks may, so a prompt that this finds too
# long could be one of blanks: no loss.
MOST_BYTES_PER_TOKEN = 8
KEYS_TO_TRY = 3

_turn = count()


@dataclass(frozen=True, slots=True)
class Plan:
    """The routes in order. The first `own` are the asked model's own; the cheap lane begins at `cheap_from`, the model
    of last resort at `last_from`. `locked`: the tier may not have the model."""

    routes: Sequence[Route]
    own: int
    cheap_from: int
    last_from: int
    eligible: bool
    locked: bool


def plan(model: Model, chat: Chat, entitlement: Entitlement, catalogue: Catalogue) -> Plan:
    """Raises `PromptTooLong` or `InvalidChat` when neither the model nor what the tier has instead could read it."""
    if estimated_tokens(chat) > model.context_window:
        raise PromptTooLong(model.name)
    locked = not model.open_to(entitlement.tier, entitlement.rank)
    own = () if locked else model.routes
    if chat.images and not takes_images(model):
        raise InvalidChat(_("the model %(model)s takes no images"), "messages", model=model.name)
    if locked:
        refuse_what_only_it_could_read(model, chat, catalogue)
    good = able(in_order([route for route in own if route.good]), chat)
    cheap = able(in_order([route for route in own if not route.good]), chat)
    stand_in = able(catalogue.stand_in.routes if catalogue.stand_in else (), chat, besides=cheap)
    last = able(catalogue.last_resort.routes if catalogue.last_resort else (), chat, besides=[*cheap, *stand_in])
    return Plan(
        routes=[*good, *cheap, *stand_in, *last],
        own=len(good) + len(cheap),
        cheap_from=len(good),
        last_from=len(good) + len(cheap) + len(stand_in),
        eligible=model.good and not locked,
        locked=locked,
    )


def takes_images(model: Model) -> bool:
    return bool(model.image_tokens) or any(route.image_tokens for route in model.routes)


def refuse_what_only_it_could_read(model: Model, chat: Chat, catalogue: Catalogue) -> None:
    """The tier may not have the model, and what it may have instead could never serve this: no outage, then."""
    others = [other for other in (catalogue.stand_in, catalogue.last_resort) if other is not None]
    if chat.images and not any(map(takes_images, others)):
        raise InvalidChat(_("your tier has no model that takes images"), "messages")
    if others and all(estimated_tokens(chat) > other.context_window for other in others):
        raise PromptTooLong(others[0].name)


def in_order(routes: Sequence[Route]) -> list[Route]:
    """By their order; among equals by lot, the heavier ones first more often."""
    if len({route.position for route in routes}) == len(routes):
        # No lots are to be drawn.
        return sorted(routes, key=position_of)
    return sorted(routes, key=lambda route: (route.position, lot(route.weight)))


position_of = attrgetter("position")


def lot(weight: int) -> float:
    """The least of several such numbers belongs to each in proportion to its weight."""
    return -float(random() ** (1 / weight))  # noqa: S311 (a lot, not a secret)


def able(routes: Sequence[Route], chat: Chat, besides: Sequence[Route] = ()) -> list[Route]:
    """Those of the routes that can serve the chat now, and that are not there already."""
    there = {route.subject for route in besides}
    return [route for route in routes if route.subject not in there and can_serve(route, chat)]


def can_serve(route: Route, chat: Chat) -> bool:
    """It can read the chat, and nothing about it is left alone right now."""
    if chat.images and not route.image_tokens:
        return False
    if estimated_tokens(chat) > route.context_window:
        return False
    keys = route.connection.usable_keys
    if health.all_well():
        return bool(keys)
    return any(not any(health.resting(subject) for subject in subjects(route, key)) for key in keys)


def keys_to_try(route: Route) -> Iterator[Key]:
    """The provider's usable keys, the load spread over them. What has rested long enough is claimed for one try, which
    is this call's with whichever key: a key that is refused says nothing of its provider."""
    keys = route.connection.usable_keys
    first = next(_turn)
    tried, claimed = 0, set[str]()
    for step in range(len(keys)):
        if tried == KEYS_TO_TRY:
            return
        key = keys[(first + step) % len(keys)]
        names = [name for name in subjects(route, key) if name not in claimed]
        # Looked at before anything is claimed: the provider's try is not for a key that still rests.
        if not any(map(health.resting, names)) and all(map(health.claim, names)):
            claimed.update(names)
            tried += 1
            yield key


def subjects(route: Route, key: Key) -> list[str]:
    """Everything that a call by this route with this key depends on, by its name to the breakers."""
    found = [route.provider, route.subject, key.subject, at_route(key, route)]
    return found if route.free else [*found, key.credit]


def at_route(key: Key, route: Route) -> str:
    """A key's standing with one model: rate limits are told apart by it."""
    return f"{key.subject}/{route.upstream}"


def estimated_tokens(chat: Chat) -> int:
    """Low, for certain."""
    return chat.input_bytes // MOST_BYTES_PER_TOKEN
