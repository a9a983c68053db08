"""Tiers and subscriptions for staff. The rules of what may be entered are `clean` of the models."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from accounts.staff_forms import EditableAdmin, locked

from ..models import FREE, Tier, UserTier


@admin.register(Tier)
class TierAdmin(EditableAdmin):
    list_display = (
        "name",
        "price_dzd",
        "sold_online",
        "messages_per_day",
        "requests_per_minute",
        "groq_percent",
        "user_daily_budget_usd",
    )
    ordering = ("rank",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The name is the key: another one would make a second tier and leave the first on sale."""
        return ("name",) if obj is not None else ()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        found, counts, needed, protected = super().get_deleted_objects(objs, request)
        kept = [reason for tier in objs if (reason := why_a_tier_stays(tier))]
        return found, counts, needed, [*protected, *kept]


@admin.register(UserTier)
class UserTierAdmin(EditableAdmin):
    list_display = ("user", "tier", "subscribed_at", "expires_at", "auto_renew")
    list_filter = ("tier", "auto_renew")
    list_select_related = ("user", "tier")
    search_fields = ("user__email",)
    autocomplete_fields = ("user",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A subscription stays with the person who has it: days that were paid are not moved to another one."""
        return ("user",) if obj is not None else ()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        found, counts, needed, protected = super().get_deleted_objects(objs, request)
        return found, counts, needed, [*protected, *map(why_it_stays, in_force(objs))]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[UserTier]) -> None:
        """Of the list's action. A customer may pay between the page that asks and its answer: look again, locked."""
        with transaction.atomic():
            rows = list(locked(queryset.select_related(None)))
            kept = {row.pk for row in in_force(rows)}
            UserTier.objects.filter(pk__in=[row.pk for row in rows if row.pk not in kept]).delete()


def in_force(rows: Iterable[UserTier]) -> list[UserTier]:
    """Those of a paid tier that has not ended."""
    now = timezone.now()
    return [row for row in rows if row.tier_id != FREE and row.in_force(now)]


def why_it_stays(held: UserTier) -> str:
    """What would be lost, and the way to do it that leaves a trace."""
    facts = {"email": held.user.email, "tier": held.tier_id, "end": _("without an end")}
    if held.expires_at is not None:
        facts["end"] = _("until %(day)s") % {"day": date_format(timezone.localtime(held.expires_at), "DATE_FORMAT")}
    paid = held.user.payments.filter(status="paid", ends_at__gt=timezone.now()).order_by("-ends_at").first()
    if paid is None:
        text = _("%(email)s would lose %(tier)s (%(end)s). To end it, choose the free tier on its page.") % facts
        return format_html("{}", text)
    text = _("%(email)s has paid for %(tier)s (%(end)s) and would lose it. Refund the payment instead:") % facts
    page = reverse("admin:billing_paymenttransaction_change", args=[paid.pk])
    return format_html('{} <a href="{}">{}</a>', text, page, paid)


def why_a_tier_stays(tier: Tier) -> str:
    if tier.name == FREE:
        return _("Everybody without a paid tier is on the free tier: it cannot be deleted.")
    if number := naming_it(tier):
        facts = {"tier": tier.name, "n": number}
        return _("%(tier)s is in the list of tiers of some models (%(n)s). Take it out of these lists first.") % facts
    return ""


def naming_it(tier: Tier) -> int:
    """How many rows have it in a list of tiers: without it an empty list would open them to all."""
    relations: list[Any] = Tier._meta.get_fields(include_hidden=True)
    lists = [each for each in relations if each.many_to_many and each.auto_created]
    return sum(each.related_model.objects.filter(**{each.field.name: tier}).count() for each in lists)
