from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db import models
from django.forms import Field, ModelForm
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from accounts.staff_forms import EditableAdmin, EditableInline

from .catalogue import DEMO, too_dear
from .models import FALLBACKS, Model, Route
from .prices import prices_of
from .providers.registry import PROVIDERS, connection


class ProvidersByName:
    """The provider is chosen among those of the registry, not typed."""

    def formfield_for_dbfield(self, db_field: "models.Field[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "provider":
            # With an empty choice: a provider that the registry no longer has must not turn into the first of the list.
            names = ["", *sorted(set(PROVIDERS) - {DEMO})]
            kwargs["widget"] = UnfoldAdminSelectWidget(choices=[(name, name or "—") for name in names])
        found: Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        return found


class RouteInline(ProvidersByName, EditableInline):
    model = Route
    extra = 0
    fields = ("provider", "upstream", "serves", "lane", "position", "weight", "enabled", "free")
    show_change_link = True


@admin.register(Model)
class CatalogueModelAdmin(EditableAdmin):
    list_display = ("name", "title", "vendor", "min_tier", "enabled", "stands_in", "last_resort")
    list_filter = ("vendor", "min_tier", "enabled")
    list_select_related = ("min_tier",)
    search_fields = ("name", "title")
    formfield_overrides: ClassVar = {models.ManyToManyField: {"widget": UnfoldAdminCheckboxSelectMultipleWidget}}
    inlines: ClassVar = [RouteInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The name is the key: another one would make a second model without routes."""
        return ("name",) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Model, form: "ModelForm[Model]", change: bool) -> None:
        for name in FALLBACKS:
            if getattr(obj, name):
                # One model has this place: the one ticked now takes it over, in the same transaction.
                Model.objects.filter(**{name: True}).exclude(pk=obj.pk).update(**{name: False})
        super().save_model(request, obj, form, change)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        found, counts, needed, protected = super().get_deleted_objects(objs, request)
        said = gettext("%(model)s serves when others cannot. Tick another model for that first.")
        kept = [said % {"model": model} for model in objs if model.stands_in or model.last_resort]
        return found, counts, needed, [*protected, *kept]

    def save_formset(self, request: HttpRequest, form: "ModelForm[Model]", formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        warn_of(request, form.instance.routes.all())


@admin.register(Route)
class RouteAdmin(ProvidersByName, EditableAdmin):
    list_display = ("model", "provider", "upstream", "standing", "price", "lane", "position", "weight")
    list_filter = ("provider", "lane", "enabled", "free")
    list_select_related = ("model",)
    search_fields = ("model__name", "upstream")
    readonly_fields = ("listed", "standing")

    def save_model(self, request: HttpRequest, obj: Route, form: "ModelForm[Route]", change: bool) -> None:
        if not change or "upstream" in form.changed_data or "provider" in form.changed_data:
            # The list prices were those of another model; `load_models` finds its own.
            obj.list_prices = {}
        super().save_model(request, obj, form, change)
        warn_of(request, [obj])

    @admin.display(description=_("USD per million"))
    def price(self, route: Route) -> str:
        """As it is in force: the list's, or what staff entered."""
        prices = prices_of(route)
        return f"{prices.input / 1e9:g} / {prices.output / 1e9:g}" if prices else "—"

    @admin.display(description="genai-prices (USD / 1M)")
    def listed(self, route: Route) -> str:
        prices = route.list_prices
        return f"{prices['input']} / {prices['output']}" if prices else "—"

    @admin.display(description=_("standing"))
    def standing(self, route: Route) -> str | Promise:
        return why_not(route) or _("in use")


def why_not(route: Route) -> str | Promise:
    """Why a route is not used; empty where it is."""
    reached, prices = connection(route.provider), prices_of(route)
    if not (route.enabled and route.model.enabled):
        return _("disabled")
    if reached is None:
        return _("its provider has no key")
    if route.free or reached.free:
        return ""
    if prices is None:
        return _("no price")
    return _("dearer than its highest price") if too_dear(route, prices) else ""


def warn_of(request: HttpRequest, routes: Iterable[Route]) -> None:
    """Whoever saved a route that will not run is told so."""
    for route in routes:
        if route.enabled and (why := why_not(route)):
            said = gettext("%(route)s is not used: %(why)s. Prices are entered on its page, or found by load_models.")
            messages.warning(request, said % {"route": route, "why": why})
