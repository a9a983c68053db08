"""The admin's menu: the dashboard first, then what is looked at most, by subject."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Subject -> the lists of it and their signs (Material Symbols). What is in none of them comes last, so that no list is
# ever without a way to it.
SUBJECTS: dict[str | Promise, dict[str, str]] = {
    _("Customers"): {
        "accounts.User": "group",
        "billing.UserTier": "card_membership",
        "accounts.SoftBan": "block",
        "accounts.SignUp": "person_add",
    },
    _("Money"): {
        "billing.PaymentTransaction": "payments",
        "billing.Invoice": "receipt_long",
        "billing.WebhookEvent": "webhook",
        "billing.Letter": "mail",
        "billing.Tier": "sell",
    },
    _("Usage"): {
        "usage.UsageLog": "list_alt",
        "usage.BudgetReset": "restart_alt",
        "usage.DeadLetter": "mark_email_unread",
    },
    _("Models"): {"llmrouter.Model": "neurology", "llmrouter.Route": "alt_route"},
    _("Supervision"): {
        "alerts.Incident": "notifications",
        "alerts.Message": "outgoing_mail",
        "accounts.StaffAction": "history",
    },
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    registered = {model._meta.label: found for model, found in admin.site._registry.items()}
    groups = [{"items": [{"title": _("Dashboard"), "icon": "monitoring", "link": reverse("dashboard")}]}]
    for title, lists in SUBJECTS.items():
        groups.append(
            group(request, title, {registered.pop(label): icon for label, icon in lists.items() if label in registered})
        )
    groups.append(group(request, _("Other"), dict.fromkeys(registered.values(), "table_rows")))
    return [found for found in groups if found["items"]]


def group(request: HttpRequest, title: str | Promise, lists: "dict[admin.ModelAdmin[Any], str]") -> dict[str, Any]:
    return {
        "title": title,
        "items": [
            {"title": _capital(found.model._meta.verbose_name_plural), "icon": icon, "link": link_of(found)}
            for found, icon in lists.items()
            if found.has_view_permission(request)
        ],
    }


def link_of(found: "admin.ModelAdmin[Any]") -> str:
    meta = found.model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")


def _capital(name: str | Promise) -> str:
    text = str(name)
    return text[:1].upper() + text[1:]


def style(request: HttpRequest) -> str:
    """What the admin's theme leaves open, right-to-left above all."""
    return static("iafactory/admin.css")
