"""What breakers may be about as things are configured now; the rest is forgotten."""

from collections.abc import Iterator

from accounts.errors import AccountsAway
from usage import health

from . import catalogue
from .catalogue import Route
from .providers import registry
from .routing import subjects


def forget_what_is_gone() -> None:
    try:
        known = {*of_connections(), *of_routes()}
    except AccountsAway:
        # PostgreSQL is away: which models there are is not known.
        return
    health.forget_all_but(known)


def of_connections() -> Iterator[str]:
    for connection in registry.connections():
        yield connection.provider.name
        for key in connection.keys:
            yield from (key.subject, key.credit)


def of_routes() -> Iterator[str]:
    for route in every_route():
        for key in route.connection.keys:
            yield from subjects(route, key)


def every_route() -> Iterator[Route]:
    known = catalogue.catalogue()
    for model in [*known.models.values(), known.stand_in, known.last_resort]:
        if model is not None:
            yield from model.routes
