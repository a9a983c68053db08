from django.contrib import admin
from django.core.paginator import Paginator
from django.utils.functional import cached_property

from accounts.admin import ReadOnlyAdmin

from .models import BudgetReset, DeadLetter, UsageLog


class UncountedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of a table too large to count: the number of rows is PostgreSQL's own estimate."""

    @cached_property
    def count(self) -> int:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = 'llm_usage_logs'::regclass")
            estimate = max(0, cursor.fetchone()[0])
        # A small or never analysed table is counted for what it has.
        return estimate if estimate > 10_000 else len(self.object_list[:10_000])


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
    list_filter = ("provider", "error_flag", "estimated", "budget_fallback")
    search_fields = ("=request_id", "=user_id")
    ordering = ("-created_at", "-id")
    paginator = UncountedPaginator
    show_full_result_count = False
    list_per_page = 50


@admin.register(BudgetReset)
class BudgetResetAdmin(ReadOnlyAdmin):
    list_display = ("day", "at", "by", "before_usd", "ledger_usd")


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ("stream_id", "error", "created_at")
