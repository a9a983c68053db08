"""CSV of whatever a list shows, sent as it is read: a year of payments is never in memory at once."""

import csv
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

AT_ONCE = 1000
# A spreadsheet takes what begins so for a formula and runs it; an address may be anything.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")

Column = Callable[[Any], Any]


def columns(*named: str | tuple[str, str]) -> dict[str, Column]:
    """Each shows the attribute of its own name; a pair is a name and the way to another attribute (`user.email`)."""
    pairs = ((each, each) if isinstance(each, str) else each for each in named)
    return {name: attrgetter(way) for name, way in pairs}


class Echo:
    """A file whose writing gives back what was written."""

    def write(self, text: str) -> str:
        return text


class CsvExport:
    """A mixin for a ModelAdmin: an action that exports the selected rows."""

    csv_columns: ClassVar[dict[str, Column]]

    @admin.action(description=_("Export as CSV"), permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
        name = f"{queryset.model._meta.model_name}-{timezone.localdate():%Y-%m-%d}.csv"
        return StreamingHttpResponse(
            lines(queryset, self.csv_columns),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def lines(rows: QuerySet[Model], columns: dict[str, Column]) -> Iterator[str]:
    writer = csv.writer(Echo())
    # The mark by which spreadsheets know UTF-8.
    yield "\ufeff" + writer.writerow(columns)
    for row in rows.iterator(chunk_size=AT_ONCE):
        yield writer.writerow([cell(read(row)) for read in columns.values()])


def cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat(timespec="seconds")
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value
