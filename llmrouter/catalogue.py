"""Public name -> model, routes, prices; what a process remembers of them is fresh for 5 s."""

from collections.abc import Mapping
from dataclasses import dataclass

from accounts.errors import AccountsAway
from accounts.fresh import Fresh, StoreAway
from billing.money import NANO

from . import models
from .errors import UnknownModel
from .prices import Prices, prices_of
from .providers.registry import Connection, connection

DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Route:
    """One way to serve a model, on a provider that is configured. What really answers is `serves`, and the limits are
    its own. `prices` None: they are not known, so the route runs only where it is free."""

    connection: Connection
    upstream: str
    serves: str
    good: bool
    free: bool
    prices: Prices | None
    position: int
    weight: int
    seconds: float | None
    context_window: int
    max_output_tokens: int
    image_tokens: int | None
    # Whether it may bill thoughts that it does not show, unasked.
    thinks_unseen: bool

    @property
    def provider(self) -> str:
        return self.connection.provider.name

    @property
    def subject(self) -> str:
        """Its name to the breakers."""
        return f"{self.provider}/{self.upstream}"


@dataclass(frozen=True, slots=True)
class Model:
    """A public model. `good`: it is meant for the good lane, whether or not that is configured here."""

    name: str
    title: str
    vendor: str
    description: str
    min_tier: str
    min_rank: int
    # The tiers that may have it, where staff named them one by one.
    only_tiers: frozenset[str]
    context_window: int
    max_output_tokens: int
    default_output_tokens: int
    image_tokens: int | None
    # Seconds since the epoch.
    added_at: int
    good: bool
    routes: tuple[Route, ...]
    list_price: Prices | None

    def open_to(self, tier: str, rank: int) -> bool:
        return tier in self.only_tiers if self.only_tiers else rank >= self.min_rank


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: Mapping[str, Model]
    stand_in: Model | None
    last_resort: Model | None


def find(name: str) -> Model:
    try:
        return catalogue().models[name]
    except KeyError:
        raise UnknownModel(name) from None


def catalogue() -> Catalogue:
    try:
        return _catalogue.get(None)
    except StoreAway as error:
        raise AccountsAway from error


def forget_catalogue() -> None:
    _catalogue.clear()


def _load(_key: None) -> Catalogue:
    rows = list(
        models.Model.objects.filter(enabled=True).select_related("min_tier").prefetch_related("routes", "only_tiers")
    )
    by_name = {row.name: row for row in rows}
    found = {row.name: _model(row, by_name) for row in rows}
    return Catalogue(
        # The model of last resort has a small quota at its provider: it is not there to be asked for.
        models={row.name: found[row.name] for row in rows if not row.last_resort},
        stand_in=next((found[row.name] for row in rows if row.stands_in), None),
        last_resort=next((found[row.name] for row in rows if row.last_resort), None),
    )


def _model(row: models.Model, by_name: Mapping[str, models.Model]) -> Model:
    route_rows = [route for route in row.routes.all() if route.enabled]
    demo = connection(DEMO)
    routes = (
        [_route(route, by_name.get(route.serves, row)) for route in route_rows] if demo is None else [_demo(row, demo)]
    )
    return Model(
        name=row.name,
        title=row.title,
        vendor=row.vendor,
        description=row.description,
        min_tier=row.min_tier.name,
        min_rank=row.min_tier.rank,
        only_tiers=frozenset(tier.name for tier in row.only_tiers.all()),
        context_window=row.context_window,
        max_output_tokens=row.max_output_tokens,
        default_output_tokens=row.default_output_tokens,
        image_tokens=row.image_tokens,
        added_at=int(row.added_at.timestamp()),
        good=demo is None and any(route.lane == models.Route.Lane.GOOD for route in route_rows),
        routes=tuple(route for route in routes if route is not None),
        list_price=next((prices_of(route) for route in route_rows), None),
    )


def _route(row: models.Route, served: models.Model) -> Route | None:
    reached = connection(row.provider)
    if reached is None:
        return None
    free, prices = row.free or reached.free, prices_of(row)
    if not free and (prices is None or too_dear(row, prices)):
        # Never on a paid route without a price, or above the one that staff allow. `load_models --check` names it.
        return None
    return Route(
        connection=reached,
        upstream=row.upstream,
        serves=served.name,
        good=row.lane == models.Route.Lane.GOOD,
        free=free,
        prices=prices,
        position=row.position,
        weight=row.weight,
        seconds=row.timeout_seconds,
        context_window=served.context_window,
        max_output_tokens=served.max_output_tokens,
        image_tokens=served.image_tokens,
        thinks_unseen=served.thinks_unseen,
    )


def too_dear(row: models.Route, prices: Prices) -> bool:
    limits = ((row.max_input_price, prices.input), (row.max_output_price, prices.output))
    return any(limit is not None and price > limit * NANO for limit, price in limits)


def _demo(row: models.Model, reached: Connection) -> Route:
    """In development, while no provider has a key, the demo stands for all."""
    return Route(
        connection=reached,
        upstream=DEMO,
        serves=DEMO,
        good=False,
        free=True,
        prices=None,
        position=0,
        weight=1,
        seconds=None,
        context_window=row.context_window,
        max_output_tokens=row.max_output_tokens,
        image_tokens=row.image_tokens or 0,
        thinks_unseen=False,
    )


_catalogue: Fresh[None, Catalogue] = Fresh(_load)
