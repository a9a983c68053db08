"""Bans by hand: the forms of the dashboard's buttons and of the admin's action. `usage.bans` does it."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User

from . import bans
from .errors import MayNotSuspend, NotNow


class BanForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), max_length=200)
    hours = forms.TypedChoiceField(
        label=gettext_lazy("for how long"),
        choices=[
            (24, gettext_lazy("24 hours")),
            (72, gettext_lazy("3 days")),
            (168, gettext_lazy("7 days")),
            (720, gettext_lazy("30 days")),
        ],
        coerce=int,
        initial=24,
    )


def ban_with(request: HttpRequest, user: User, wanted: dict[str, Any]) -> bool:
    """Ban, and show the member of staff what came of it; whether it was done."""
    assert isinstance(request.user, User)
    length = timedelta(hours=wanted["hours"])
    try:
        bans.soft_ban(user=user, reason=wanted["reason"], by=request.user, length=length)
    except (MayNotSuspend, NotNow) as error:
        say_why_not(request, user, error)
        return False
    messages.success(request, _("%(email)s is suspended.") % {"email": user.email})
    return True


def lift_with(request: HttpRequest, user: User) -> bool:
    assert isinstance(request.user, User)
    try:
        lifted = bans.lift_ban(user=user, by=request.user)
    except (MayNotSuspend, NotNow) as error:
        say_why_not(request, user, error)
        return False
    if lifted:
        messages.success(request, _("%(email)s may chat again.") % {"email": user.email})
    else:
        messages.warning(request, _("%(email)s was not suspended.") % {"email": user.email})
    return lifted


def say_why_not(request: HttpRequest, user: User, error: MayNotSuspend | NotNow) -> None:
    if isinstance(error, MayNotSuspend):
        text = _("You may not suspend %(email)s, nor lift that suspension.") % {"email": user.email}
    else:
        text = _("Redis cannot be reached: nothing was changed. Try again in a moment.")
    messages.error(request, text)
