"""`{% usage_rows period provider="groq" %}`: the address of the rows that a figure counts."""

from typing import Any

from django import template

from iafactory.dashboard import links
from iafactory.dashboard.periods import Period

register = template.Library()


@register.simple_tag
def usage_rows(period: Period, **columns: Any) -> str:
    return links.usage_rows(*period.bounds, **columns)


@register.simple_tag
def payment_rows(period: Period, **columns: Any) -> str:
    return links.payments(*period.bounds, **columns)


@register.simple_tag
def subscriptions(tier: str) -> str:
    return links.changelist("billing_usertier", tier__name__exact=tier)


@register.simple_tag
def person(user_id: int) -> str:
    return links.person(user_id)
