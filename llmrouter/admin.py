from typing import ClassVar

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from .models import Model, Route


class RouteInline(TabularInline):  # type: ignore[misc]
    model = Route
    extra = 0
    fields = ("provider", "upstream", "serves", "lane", "position", "weight", "enabled", "free")
    show_change_link = True


@admin.register(Model)
class CatalogueModelAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "title", "vendor", "min_tier", "enabled", "stands_in", "last_resort")
    list_filter = ("vendor", "min_tier", "enabled")
    list_select_related = ("min_tier",)
    search_fields = ("name", "title")
    filter_horizontal = ("only_tiers",)
    inlines: ClassVar = [RouteInline]


@admin.register(Route)
class RouteAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("model", "provider", "upstream", "lane", "enabled", "free", "listed", "input_price", "output_price")
    list_filter = ("provider", "lane", "enabled", "free")
    list_select_related = ("model",)
    readonly_fields = ("listed",)

    @admin.display(description="genai-prices (USD / 1M)")
    def listed(self, route: Route) -> str:
        prices = route.list_prices
        return f"{prices['input']} / {prices['output']}" if prices else "—"
