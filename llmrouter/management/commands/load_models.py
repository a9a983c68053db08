import tomllib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from llmrouter.list_prices import list_prices
from llmrouter.models import Model, Route
from llmrouter.providers.registry import PROVIDERS

SOURCE = Path(__file__).parents[2] / "catalogue.toml"
# Models that their providers have shut down, and when: a route to one only costs a failed attempt.
RETIRED = {
    "groq": {"llama-3.3-70b-versatile": "2026-08-16", "llama-3.1-8b-instant": "2026-08-16"},
    "xai": {"grok-3": "2026-05-15", "grok-4-0709": "2026-05-15", "grok-4-fast": "2026-05-15"},
    "cerebras": {"llama-3.3-70b": "2026-02", "qwen-3-32b": "2026-02", "llama3.1-8b": "2026-05-27"},
}


class Command(BaseCommand):
    help = (
        "Add the models of llmrouter/catalogue.toml that are missing and refresh all list prices; what staff changed "
        "stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="change nothing; name routes without a price, or to models known to be retired",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            self.check_prices()
            return
        with transaction.atomic():
            added = sum(self.add_missing(position, *item) for position, item in enumerate(catalogue_file().items()))
            priced = sum(self.refresh_prices(route) for route in Route.objects.all())
        self.stdout.write(f"Models: {added} added, {Model.objects.count()} in all; {priced} list prices refreshed.")

    def add_missing(self, position: int, name: str, entry: dict[str, Any]) -> bool:
        routes = entry.pop("routes")
        columns = {"min_tier_id": entry.pop("min_tier", "free"), "position": position, **entry}
        model, added = Model.objects.get_or_create(name=name, defaults=columns)
        if added:
            Route.objects.bulk_create(Route(model=model, position=place, **route) for place, route in enumerate(routes))
        return added

    def refresh_prices(self, route: Route) -> bool:
        found = list_prices(PROVIDERS[route.provider].prices, route.upstream) if route.provider in PROVIDERS else None
        if found is None or found == route.list_prices:
            return False
        Route.objects.filter(pk=route.pk).update(list_prices=found)
        return True

    def check_prices(self) -> None:
        troubles = [
            trouble
            for route in Route.objects.filter(enabled=True, model__enabled=True).select_related("model")
            for trouble in troubles_of(route)
        ]
        for trouble in troubles:
            self.stdout.write(trouble)
        self.stdout.write(f"{len(troubles)} troubles in the catalogue.")


def troubles_of(route: Route) -> list[str]:
    """What is wrong with a route, and what to do about it."""
    provider = PROVIDERS.get(route.provider)
    if provider is None:
        return [f"unknown provider: {route} (disable the route, or enter another provider)"]
    found = []
    if route.upstream in RETIRED.get(route.provider, {}):
        since = RETIRED[route.provider][route.upstream]
        found.append(f"retired: {route}, since {since} (disable the route, or enter a successor)")
    if not route.free and route.input_price is None and list_prices(provider.prices, route.upstream) is None:
        found.append(f"no price: {route} (it never runs paid; enter its prices in the admin)")
    return found


def catalogue_file() -> dict[str, dict[str, Any]]:
    return tomllib.loads(SOURCE.read_text())
