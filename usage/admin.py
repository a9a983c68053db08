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
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.admin import ReadOnlyAdmin
from accounts.models import SignUp, User

from . import ban_actions  # noqa: F401 (it adds itself to the list of users)
from .ban_forms import say_why_not
from .bans import soft_ban
from .errors import MayNotSuspend
from .farming import SUSPECT
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
        "charged_usd",
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


REASONS = {
    "same_mailbox": _("the same mailbox as other accounts (%(number)s in all)"),
    "same_address": _("%(number)s accounts of one network address within a day"),
    "disposable": _("a throw-away e-mail address"),
    "tagged": _("a +tag in the e-mail address"),
    "random_name": _("a name that looks made up"),
    "emptied_at_once": _("all free messages of the day used within minutes of the sign-up"),
    "twins": _("makes the same calls in the same hours as %(number)s other accounts of its address"),
}


class SuspicionFilter(admin.SimpleListFilter):
    title = _("suspicion")
    parameter_name = "suspicion"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("suspect", _("Suspect")), ("some", _("Some points")), ("none", _("None"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SignUp]) -> QuerySet[SignUp]:
        match self.value():
            case "suspect":
                return queryset.filter(score__gte=SUSPECT)
            case "some":
                return queryset.filter(score__gt=0, score__lt=SUSPECT)
            case "none":
                return queryset.filter(score=0)
        return queryset


@admin.register(SignUp)
class SignUpAdmin(ReadOnlyAdmin):
    """Accounts that look like many of one person, the likeliest first. Staff judge; nothing happens by itself."""

    list_display = ("user", "score", "why", "created_at", "ban")
    list_filter = (SuspicionFilter, "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    ordering = ("-score", "-created_at")
    actions = ("soft_ban_selected",)
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[SignUp]:
        found: QuerySet[SignUp] = super().get_queryset(request)
        return found.prefetch_related("user__soft_bans")

    @admin.display(description=_("reasons"))
    def why(self, sign_up: SignUp) -> str:
        return (
            format_html_join(
                "; ", "{}", ((REASONS[reason] % {"number": number},) for reason, number in sign_up.reasons)
            )
            or "—"
        )

    @admin.display(description=_("soft-banned until"))
    def ban(self, sign_up: SignUp) -> Any:
        now = timezone.now()
        until = [ban.until for ban in sign_up.user.soft_bans.all() if ban.lifted_at is None and ban.until > now]
        return until[0] if until else None

    @admin.action(description=_("Soft-ban these accounts for 24 hours"), permissions=["ban"])
    def soft_ban_selected(self, request: HttpRequest, queryset: QuerySet[SignUp]) -> None:
        assert isinstance(request.user, User)
        number = 0
        for sign_up in queryset.select_related("user"):
            try:
                soft_ban(user=sign_up.user, reason="Looks like one of many free accounts", by=request.user)
            except MayNotSuspend as error:
                say_why_not(request, sign_up.user, error)
            else:
                number += 1
        self.message_user(
            request,
            ngettext("%(n)s account is soft-banned.", "%(n)s accounts are soft-banned.", number) % {"n": number},
        )

    def has_ban_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_softban")
