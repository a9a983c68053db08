"""The ledger in the admin: read-only, and never a count or a scan of a table that grows without end."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from accounts.admin import ReadOnlyAdmin

from .models import BudgetReset, DeadLetter, UsageLog

COUNTED_EXACTLY = 10_000


class UncountedPaginator(Paginator):  # type: ignore[type-arg]
    """Few rows are counted; for many PostgreSQL's own estimate of the table is good enough to turn pages by."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        some: int = rows.order_by().values("pk")[: COUNTED_EXACTLY + 1].count()
        if some <= COUNTED_EXACTLY:
            return some
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = 'llm_usage_logs'::regclass")
            return max(some, int(cursor.fetchone()[0]))


class RecentProviderFilter(admin.SimpleListFilter):
    """The providers of the last day: all that there ever were would be a scan."""

    title = _("provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        recent = UsageLog.objects.filter(created_at__gt=timezone.now() - timedelta(days=1))
        return [(name, name) for name in recent.order_by().values_list("provider", flat=True).distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageLog]) -> QuerySet[UsageLog]:
        return queryset.filter(provider=self.value()) if self.value() else queryset


@admin.register(UsageLog)
class UsageLogAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "user_id",
        "tier",
        "provider",
        "model",
        "tokens_input",
        "tokens_output",
        "cost_usd",
        "latency_ms",
        "error_message",
        "estimated",
    )
    list_filter = (RecentProviderFilter, "error_flag", "estimated", "budget_fallback")
    search_fields = ("request_id",)
    search_help_text = _("A request's id, or a user's.")
    ordering = ("-created_at", "-id")
    paginator = UncountedPaginator
    show_full_result_count = False
    list_per_page = 50

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageLog], search_term: str
    ) -> tuple[QuerySet[UsageLog], bool]:
        """By exact ids, which have indexes; Django's own search would compare them as text, row by row."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isdecimal():
            return queryset.filter(user_id=int(term)), False
        try:
            return queryset.filter(request_id=UUID(term)), False
        except ValueError:
            return queryset.none(), False


@admin.register(BudgetReset)
class BudgetResetAdmin(ReadOnlyAdmin):
    list_display = ("day", "at", "by", "before_usd", "ledger_usd")


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ("stream_id", "error", "created_at")
