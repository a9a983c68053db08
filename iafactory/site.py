"""The admin site: Unfold's, on which nothing is changed without a trace, and whose pages need no inline style."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.options import ModelAdmin
from django.db.models import Model, QuerySet
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import cache_control
from unfold.settings import get_config
from unfold.sites import UnfoldAdminSite
from unfold.utils import convert_color

from accounts import audit
from accounts.models import User


class Audited:
    """Laid over every `ModelAdmin` of the site: what it writes to Django's own log, which goes with the account of
    whoever did it, is written to the trail as well."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        trail(request, "added", [obj], message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        trail(request, "changed", [obj], message)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        trail(request, "deleted", queryset, [])
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def trail(request: HttpRequest, what: str, objects: Iterable[Model], message: Any) -> None:
    assert isinstance(request.user, User)
    for obj in objects:
        # Names of fields, never their values: one of them may be a password.
        audit.record(
            f"admin.{what}",
            by=request.user,
            subject=obj,
            details={"name": str(obj)[:200], "changes": message},
            request=request,
        )


class Site(UnfoldAdminSite):  # type: ignore[misc]
    def register(
        self,
        model_or_iterable: ModelBase | Iterable[ModelBase],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        audited = type((admin_class or ModelAdmin).__name__, (Audited, admin_class or ModelAdmin), {})
        super().register(model_or_iterable, audited, **options)

    def get_urls(self) -> list[URLPattern]:
        return [path("colors.css", colors, name="colors"), *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context: dict[str, Any] = super().each_context(request)
        # Unfold would write them into the page, which the policy of `headers` forbids.
        context["colors"] = None
        context["styles"] = [*context["styles"], reverse(f"{self.name}:colors")]
        return context


@cache_control(max_age=3600, public=True)
def colors(request: HttpRequest) -> HttpResponse:
    """The palette of `UNFOLD`, as a file of its own."""
    config = get_config()
    lines = [f"--border-radius: {radius};"] if (radius := config.get("BORDER_RADIUS")) else []
    for name, weights in config["COLORS"].items():
        lines += [f"--color-{name}-{weight}: {convert_color(value)};" for weight, value in weights.items()]
    return HttpResponse(f":root {{ {' '.join(lines)} }}", content_type="text/css; charset=utf-8")
