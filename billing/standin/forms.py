"""What Chargily refuses of a new checkout, in the words and the shape of Laravel."""

from typing import Any
from urllib.parse import urlsplit

LEAST = 50
CHOICES = {
    "currency": ("dzd",),
    "locale": ("ar", "en", "fr"),
    "payment_method": ("edahabia", "cib", "chargily_app"),
    "chargily_pay_fees_allocation": ("customer", "merchant", "split"),
}


def errors_of(form: dict[str, Any]) -> dict[str, list[str]]:
    """By field, in the order in which the first one becomes the message."""
    found: dict[str, list[str]] = {}

    def refuse(name: str, why: str) -> None:
        found.setdefault(name, []).append(f"The {name.replace('_', ' ')} field {why}")

    _amount(form, refuse)
    if not form.get("success_url"):
        refuse("success_url", "is required.")
    for name in ("success_url", "failure_url", "webhook_endpoint"):
        if form.get(name) and not is_url(form[name]):
            refuse(name, "must be a valid URL.")
    for name, allowed in CHOICES.items():
        if form.get(name) is not None and form[name] not in allowed:
            found.setdefault(name, []).append(f"The selected {name.replace('_', ' ')} is invalid.")
    if form.get("percentage_discount") is not None and form.get("amount_discount") is not None:
        refuse("percentage_discount", "prohibits amount discount from being present.")
        refuse("amount_discount", "prohibits percentage discount from being present.")
    if form.get("customer_id") is not None:
        found.setdefault("customer_id", []).append("The selected customer id is invalid.")
    if form.get("metadata") is not None and not isinstance(form["metadata"], (dict, list)):
        refuse("metadata", "must be an array.")
    return found


def _amount(form: dict[str, Any], refuse: Any) -> None:
    amount = form.get("amount")
    if form.get("items") is not None:
        # No prices are kept here: every one is unknown.
        refuse("items", "has an invalid price.")
    elif amount is None:
        refuse("items", "is required when amount is not present.")
        refuse("amount", "is required when items is not present.")
    elif isinstance(amount, bool) or not isinstance(amount, (int, float)):
        refuse("amount", "must be a number.")
    else:
        if amount < LEAST:
            refuse("amount", f"must be greater than or equal to {LEAST}.")
        if not form.get("currency"):
            refuse("currency", "is required when amount is present.")


def is_url(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    parts = urlsplit(value)
    return parts.scheme in ("http", "https") and bool(parts.hostname)
