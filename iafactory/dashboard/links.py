"""Where the rows of a figure are: the admin's lists, filtered."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse


def usage_rows(start: datetime, end: datetime, **columns: Any) -> str:
    return changelist("usage_usagelog", created_at__gte=start, created_at__lt=end, **columns)


def payments(start: datetime, end: datetime, **columns: Any) -> str:
    return changelist("billing_paymenttransaction", paid_at__gte=start, paid_at__lt=end, **columns)


def person(user_id: int) -> str:
    return reverse("admin:accounts_user_change", args=[user_id])


def changelist(model: str, **columns: Any) -> str:
    try:
        path = reverse(f"admin:{model}_changelist")
    except NoReverseMatch:
        # The list is not in the admin (yet): the figure is no link.
        return ""
    values = {name: v.isoformat(sep=" ") if isinstance(v, datetime) else v for name, v in columns.items()}
    return f"{path}?{urlencode(values)}" if values else path


def dashboard(period: str) -> str:
    path = reverse("dashboard")
    return f"{path}?{urlencode({'period': period})}" if period else path
