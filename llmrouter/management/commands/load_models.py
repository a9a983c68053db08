import tomllib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from llmrouter.list_prices import list_prices
from llmrouter.models import Model, Route
from llmrouter.providers.registry import PROVIDERS

SOURCE = Path(__file__).parents[2] / "catalogue.toml"


class Command(BaseCommand):
    help = (
        "Add the models of llmrouter/catalogue.toml that are missing and refresh all list prices; what staff changed "
        "stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; name the routes without a price")

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
        missing = [
            str(route)
            for route in Route.objects.filter(enabled=True, free=False)
            if list_prices(PROVIDERS[route.provider].prices, route.upstream) is None and route.input_price is None
        ]
        for route in missing:
            self.stdout.write(f"no price: {route} (it never runs paid; enter a price in the admin)")
        self.stdout.write(f"{len(missing)} routes without a price.")


def catalogue_file() -> dict[str, dict[str, Any]]:
    return tomllib.loads(SOURCE.read_text())
