"""The dashboard inside Django Admin. It is drawn whole; a small script asks for its inner part again now and then."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import SoftBan, User
from iafactory.alerts import rules
from iafactory.alerts.rules import Alert
from usage import bans
from usage.ban_forms import BanForm, ban_with, lift_with
from usage.clock import today as this_day
from usage.clock import zone
from usage.errors import NotNow
from usage.reports import heavy_users, history
from usage.reports.heavy_users import UserFigures
from usage.reports.history import Totals
from usage.reports.query import one_look

from . import drawing, links
from .api import DashboardApi
from .charts import Chart
from .economics_by import TierRow, UserRow, tier_rows, user_rows
from .figures import Budget, Economics, budget_now, economics
from .periods import Period, period_of, periods
from .providers import ProviderRow, provider_rows

BANS_SHOWN = 20


class DashboardView(DashboardApi):
    """One address, two answers: JSON for a bearer, the page for a browser."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in ("GET", "HEAD") and is_for_a_browser(request):
            return admin.site.admin_view(show)(request)
        return super().dispatch(request, *args, **kwargs)


def is_for_a_browser(request: HttpRequest) -> bool:
    """A bearer is a program. Who has no session yet is a browser if it says that it reads pages."""
    if "Authorization" in request.headers:
        return False
    user = request.user
    return (isinstance(user, User) and user.is_staff) or "text/html" in request.headers.get("Accept", "")


def show(request: HttpRequest) -> HttpResponse:
    with one_look():
        assert isinstance(request.user, User)
        view = look(request.GET.get("period", ""), request.user)
    # Who asked for the inner part has the frame already.
    if "fragment" in request.GET:
        return TemplateResponse(request, "iafactory/dashboard/figures.html", {"view": view})
    context = {**admin.site.each_context(request), "title": _("Dashboard"), "view": view}
    return TemplateResponse(request, "iafactory/dashboard/page.html", context)


@require_POST
def ban(request: HttpRequest) -> HttpResponse:
    form = BanForm(request.POST)
    if form.is_valid():
        ban_with(request, user_named(request), form.cleaned_data)
    else:
        messages.error(request, _("Say why, in at most 200 characters."))
    return back(request)


@require_POST
def lift(request: HttpRequest) -> HttpResponse:
    lift_with(request, user_named(request))
    return back(request)


def user_named(request: HttpRequest) -> User:
    named = request.POST.get("user_id", "")
    # No id has more digits, and Python refuses to read an integer of thousands of them.
    return get_object_or_404(User, pk=int(named) if named.isdecimal() and len(named) < 20 else 0)


def back(request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect(links.dashboard(request.POST.get("period", "")))


@dataclass(frozen=True, slots=True)
class Abuser:
    """Over the limit today; `ban` where the account is suspended already."""

    user: UserFigures
    ban: SoftBan | None
    # Whether the member of staff who looks at the page may suspend this account.
    may_suspend: bool


@dataclass(frozen=True, slots=True)
class BanRow:
    ban: SoftBan
    may_lift: bool


@dataclass(frozen=True, slots=True)
class View:
    """All that the page shows at one instant. `budget` is None while Redis cannot say."""

    now: datetime
    today: Period
    period: Period
    periods: tuple[Period, ...]
    budget: Budget | None
    alerts: list[Alert]
    totals: Totals
    economics: Economics
    spend: Chart
    calls: Chart
    month: Chart
    providers: list[ProviderRow]
    tiers: list[TierRow]
    users: list[UserRow]
    abusers: list[Abuser]
    bans: list[BanRow]
    ban_form: BanForm

    @property
    def errors(self) -> int:
        return sum(row.figures.errors for row in self.providers if row.figures)


def look(period_key: str, viewer: User) -> View:
    budget = live_budget()
    # The day is that of the money's clock, which a test or an exercise may have moved.
    now, day = (budget.now, budget.day) if budget else (datetime.now(zone()), this_day())
    period = period_of(period_key, day)
    totals = history.totals(period.first, period.last)
    alerts = rules.standing()
    spend, calls = drawing.last_24_hours(now)
    standing_bans = bans_in_force()
    return View(
        now=now,
        today=periods(day)["today"],
        period=period,
        periods=tuple(periods(day).values()),
        budget=budget,
        alerts=alerts,
        totals=totals,
        economics=economics(period.first, period.last, costs=totals.cost_usd),
        spend=spend,
        calls=calls,
        month=drawing.last_30_days(day),
        providers=provider_rows(history.providers(period.first, period.last), alerts),
        tiers=tier_rows(period),
        users=user_rows(period),
        abusers=abusers_for(viewer, heavy_users.abusive_users(day), standing_bans),
        bans=ban_rows_for(viewer, standing_bans),
        ban_form=BanForm(),
    )


def live_budget() -> Budget | None:
    try:
        return budget_now()
    except NotNow:
        # The page is for such hours, too; that Redis is away is an alert on it.
        return None


def bans_in_force() -> dict[int, SoftBan]:
    found = SoftBan.objects.in_force(timezone.now()).select_related("user", "banned_by").order_by("-created_at")
    return {ban.user_id: ban for ban in found}


def abusers_for(viewer: User, found: list[UserFigures], standing_bans: dict[int, SoftBan]) -> list[Abuser]:
    accounts = User.objects.in_bulk([user.user_id for user in found])
    free_to_act = viewer.pk not in standing_bans
    return [
        Abuser(
            user,
            standing_bans.get(user.user_id),
            free_to_act and user.user_id in accounts and bans.within_reach(by=viewer, user=accounts[user.user_id]),
        )
        for user in found
    ]


def ban_rows_for(viewer: User, standing_bans: dict[int, SoftBan]) -> list[BanRow]:
    free_to_act = viewer.pk not in standing_bans
    shown = list(standing_bans.values())[:BANS_SHOWN]
    return [BanRow(ban, free_to_act and bans.within_reach(by=viewer, user=ban.user)) for ban in shown]
