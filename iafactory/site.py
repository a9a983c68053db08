"""The admin site: Unfold's, on which nothing is changed without a trace, and whose pages need no inline style."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters, ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteMixin
from django.core.exceptions import BadRequest, ValidationError
from django.db import DataError
from django.db.models import DateTimeField, Field, Model, QuerySet
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


# What a lookup raises for a value that no row can have: a year of 99999, an integer beyond a C long, a NUL.
# Django warns of a date without a time zone; where warnings are errors (in tests) that is a lookup's failure as well.
UNUSABLE = (ValueError, OverflowError, ValidationError, DataError, RuntimeWarning)


class CheckedLookups:
    """Laid over every `ChangeList`. Django answers an `IncorrectLookupParameters` with the list without filters
    (`?e=1`), but raises it for some of the unusable values only; the others would be answered 500."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        with self._lookups_checked():
            return super().get_queryset(request, exclude_parameters)  # type: ignore[misc,no-any-return]

    def get_results(self, request: HttpRequest) -> None:
        # The first query with the values of the filters and of the search.
        with self._lookups_checked():
            super().get_results(request)  # type: ignore[misc]

    @contextmanager
    def _lookups_checked(self) -> Iterator[None]:
        try:
            yield
        except UNUSABLE as error:
            # Without a filter and a search no value came from the request: the fault is ours, and stays a 500.
            if not (self.params or self.query):  # type: ignore[attr-defined]
                raise
            raise IncorrectLookupParameters(error) from error


@cache
def checked_change_list(base: type[ChangeList]) -> type[ChangeList]:
    return type(base.__name__, (CheckedLookups, base), {})


class CheckedChoices:
    """Laid over the widgets that look a row up. A form that is refused is shown again with its values, and Django looks
    each of them up, whether or not it can be an id."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        ids = self.field.remote_field.model._meta.pk  # type: ignore[attr-defined]
        return super().optgroups(name, [each for each in value if is_usable(ids, each)], attr)  # type: ignore[misc]


@cache
def checked_widget(base: type[Any]) -> type[Any]:
    return type(base.__name__, (CheckedChoices, base), {})


class CheckedInput:
    """Laid over every `ModelAdmin`: values of the request that no row can have are refused before they are used."""

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return checked_change_list(super().get_changelist(request, **options))  # type: ignore[misc]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **options)  # type: ignore[misc]
        if field is not None and isinstance(field.widget, AutocompleteMixin):
            kind: Any = type(field.widget)
            field.widget.__class__ = checked_widget(kind)
        return field

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        # The admin has a quoting of its own: `_00` in the path is a NUL, and PostgreSQL takes none.
        if "\0" in object_id:
            return None
        return super().get_object(request, object_id, from_field)  # type: ignore[misc,no-any-return]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Without the values of the address that the field cannot show: the form's widgets expect usable ones."""
        given: dict[str, Any] = super().get_changeform_initial_data(request)  # type: ignore[misc]
        fields = {field.name: field for field in self.opts.concrete_fields}  # type: ignore[attr-defined]
        return {name: value for name, value in given.items() if name not in fields or is_usable(fields[name], value)}

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            check_id(queryset.model, chosen)
        return super().response_action(request, queryset)  # type: ignore[misc,no-any-return]


def is_usable(field: Field[Any, Any], value: Any) -> bool:
    if value in (None, ""):
        return True
    # The widget of an instant takes it apart and does not read text.
    if isinstance(field, DateTimeField) or (isinstance(value, str) and "\0" in value):
        return False
    try:
        field.get_prep_value(field.to_python(value))
    except UNUSABLE:
        return False
    return True


def check_id(model: type[Model], text: str) -> None:
    """Raise `BadRequest` for what cannot be the id of a row."""
    try:
        model._meta.pk.to_python(text)
    except (ValidationError, ValueError) as error:
        raise BadRequest from error
    if "\0" in text:
        raise BadRequest


class Site(UnfoldAdminSite):  # type: ignore[misc]
    def register(
        self,
        model_or_iterable: ModelBase | Iterable[ModelBase],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        audited = type((admin_class or ModelAdmin).__name__, (Audited, CheckedInput, admin_class or ModelAdmin), {})
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
