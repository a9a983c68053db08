"""Suspending from the admin's list of users: a page that asks why, then the same function as everywhere."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import UserAdmin
from accounts.models import User

from .ban_forms import BanForm, ban_with, lift_with


@admin.action(description=gettext_lazy("Suspend these users…"), permissions=["change"])
def suspend(model_admin: Any, request: HttpRequest, users: QuerySet[User]) -> HttpResponse | None:
    found = model_admin.those_to_change(request, users)
    form = BanForm(request.POST if "reason" in request.POST else None)
    if form.is_valid():
        for user in found:
            ban_with(request, user, form.cleaned_data)
        return None
    context = {
        **admin.site.each_context(request),
        "title": _("Suspend users"),
        "opts": User._meta,
        "form": form,
        "users": found,
    }
    return TemplateResponse(request, "usage/suspend.html", context)


@admin.action(description=gettext_lazy("Lift the suspension of these users"), permissions=["change"])
def lift(model_admin: Any, request: HttpRequest, users: QuerySet[User]) -> None:
    for user in model_admin.those_to_change(request, users):
        lift_with(request, user)


# Accounts do not know of bans from chatting, so what is known here is added there.
UserAdmin.actions = (*UserAdmin.actions, suspend, lift)
