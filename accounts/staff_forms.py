"""Admin forms on rows that the product changes too: only what staff changed is written, or nothing.

The form carries what it showed when it was opened. On saving, the row is locked first, as the product locks it. A field
that staff left alone keeps the row's value of this moment. A field that staff changed, and the product or a colleague
changed as well, is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

OPENED = "opened"
CHANGED_MEANWHILE = _("This was changed meanwhile, and nothing was saved. Open the page again to see it.")

Row = TypeVar("Row", bound=Model)


class OpenedField(forms.CharField):
    """The signed digests of what the form showed; it is never a change itself."""

    widget = forms.HiddenInput

    def __init__(self) -> None:
        super().__init__(required=False, label="")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class StaffFormMixin:
    """For a `ModelForm` that staff may leave open while its row changes. Its class declares the field `opened`."""

    instance: Model
    cleaned_data: dict[str, Any]
    fields: dict[str, forms.Field]
    initial: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row_before = columns_of(self.instance)
        self.by_staff: list[str] | None = None
        if self.instance.pk is not None and not self.instance._state.adding:
            self.initial[OPENED] = signing.dumps([str(self.instance.pk), self._shown()], salt=self._salt())

    @property
    def changed_data(self) -> list[str]:
        """What staff changed since they opened the form, not what differs from the row by now."""
        compared: list[str] = super().changed_data  # type: ignore[misc]
        return compared if self.by_staff is None else self.by_staff

    def clean_opened(self) -> dict[str, str] | None:
        """None for a program that posts without having opened the form: its fields are compared with the row."""
        token = self.cleaned_data[OPENED]
        if not token or self.instance._state.adding:
            return None
        try:
            pk, shown = signing.loads(token, salt=self._salt())
        except signing.BadSignature as error:
            raise ValidationError(CHANGED_MEANWHILE) from error
        if pk != str(self.instance.pk):
            raise ValidationError(CHANGED_MEANWHILE)
        return dict(shown)

    def _post_clean(self) -> None:
        """Before the values reach the row: leave out those that staff did not change."""
        opened: dict[str, str] | None = self.cleaned_data.pop(OPENED, None)
        if opened is not None:
            self._keep_only_changes(opened, self._shown())
        super()._post_clean()  # type: ignore[misc]

    def _keep_only_changes(self, opened: Mapping[str, str], current: Mapping[str, str]) -> None:
        self.by_staff = []
        for name in [name for name in self.cleaned_data if name in opened]:
            wanted = digest_of(self.cleaned_data[name])
            if wanted == opened[name] or wanted == current.get(name):
                # Django copies into the row what is in `cleaned_data`, and nothing else.
                del self.cleaned_data[name]
            elif opened[name] != current.get(name):
                self.add_error(name, ValidationError(CHANGED_MEANWHILE))  # type: ignore[attr-defined]
            else:
                self.by_staff.append(name)

    def save(self, commit: bool = True) -> Any:
        if not commit or self.instance._state.adding or self.errors:  # type: ignore[attr-defined]
            return super().save(commit)  # type: ignore[misc]
        self.instance.save(update_fields=self.columns_to_write())
        self._save_m2m()  # type: ignore[attr-defined]
        return self.instance

    def columns_to_write(self) -> list[str]:
        """Those in which the row differs from what was read under the lock."""
        after = columns_of(self.instance)
        return [name for name, value in after.items() if value != self.row_before.get(name)]

    def _shown(self) -> dict[str, str]:
        return {
            name: digest_of(self.get_initial_for_field(field, name))  # type: ignore[attr-defined]
            for name, field in self.fields.items()
            # A disabled field is not sent back (one of them is the password's hash).
            if name != OPENED and not field.disabled
        }

    def _salt(self) -> str:
        return f"accounts.staff_forms:{self.instance._meta.label}"


class StaffForm(StaffFormMixin, forms.ModelForm):  # type: ignore[type-arg, misc]
    opened = OpenedField()


class EditableAdmin(ModelAdmin):  # type: ignore[misc]
    """The base of every admin page that changes rows."""

    form: Any = StaffForm

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Locked when the form is saved, so that a change by the product comes before it or after it."""
        found = super().get_object(request, object_id, from_field)
        if found is None or not is_writing(request, self.model):
            return found
        return locked(self.get_queryset(request)).filter(pk=found.pk).first()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in super().get_fields(request, obj) if name != OPENED]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        (title, options), *rest = super().get_fieldsets(request, obj)
        if obj is None or not self.has_change_permission(request, obj):
            return [(title, options), *rest]
        return [(title, {**options, "fields": (*options["fields"], OPENED)}), *rest]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.columns_to_write())
        else:
            super().save_model(request, obj, form, change)


class EditableInline(TabularInline):  # type: ignore[misc]
    """The same for rows that are edited on another row's page."""

    form: Any = StaffForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return locked(rows) if is_writing(request, self.model) else rows

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = [name for name in super().get_fields(request, obj) if name != OPENED]
        return [*fields, OPENED] if self.has_change_permission(request, obj) else fields


def locked(rows: QuerySet[Row]) -> QuerySet[Row]:
    """It conflicts with every UPDATE and with the product's own locks, not with rows that merely refer to these."""
    return rows.select_for_update(no_key=True, of=("self",))


def is_writing(request: HttpRequest, model: type[Model]) -> bool:
    return request.method == "POST" and transaction.get_connection(router.db_for_write(model)).in_atomic_block


def columns_of(row: Model) -> dict[str, Any]:
    deferred = row.get_deferred_fields()
    names = [field.attname for field in row._meta.concrete_fields if field.attname not in deferred]
    return {name: getattr(row, name) for name in names}


def digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True, default=str).encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """One form for the value of a row, and for the same value as a form sends it back."""
    match value:
        case None:
            return ""
        case Model():
            return str(value.pk)
        case bool():
            return value
        case datetime():
            # The widgets show no microseconds.
            return value.astimezone(UTC).replace(microsecond=0).isoformat()
        case Decimal():
            return format(value.normalize(), "f")
        case str():
            return value.replace("\r\n", "\n").strip()
        case int():
            return str(value)
        case QuerySet() | list() | tuple() | set():
            return sorted(str(plain(each)) for each in value)
    return value
