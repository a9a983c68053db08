"""The admin's forms as a browser has them: opened, filled in, sent back."""

import re
from html import unescape
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts.models import User


def page_of(row: Any) -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/"


def staff_client(user: User) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(user)
    return client


def shown(html: str) -> dict[str, Any]:
    """What a browser would send back of the page's forms, untouched."""
    sent: dict[str, Any] = {}
    for tag in re.findall(r"<input\b[^>]*>", html):
        facts = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        ticked = facts.get("type") not in ("checkbox", "radio") or re.search(
            r"\schecked\b", re.sub('"[^"]*"', '""', tag)
        )
        if facts.get("name") and ticked and facts.get("type") != "submit":
            sent[facts["name"]] = facts.get("value", "on" if facts.get("type") in ("checkbox", "radio") else "")
    for name, body in re.findall(r'<select\b[^>]*?name="([^"]+)"[^>]*>(.*?)</select>', html, re.S):
        chosen = re.findall(r'<option value="([^"]*)"[^>]*\bselected', body)
        sent[name] = chosen if "multiple" in html.split(f'name="{name}"')[1].split(">")[0] else (chosen or [""])[0]
    return {name: value for name, value in sent.items() if not name.startswith("_") and "__prefix__" not in name}


def opened(staff: Client, row: Any) -> dict[str, Any]:
    answer = staff.get(page_of(row))
    assert answer.status_code == 200
    return shown(answer.content.decode())


def enter(form: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    if value is False:
        return {field: kept for field, kept in form.items() if field != name}
    if hasattr(value, "hour"):
        local = timezone.localtime(value)
        return {**form, f"{name}_0": f"{local:%Y-%m-%d}", f"{name}_1": f"{local:%H:%M:%S}"}
    return {**form, name: value}


def save(staff: Client, row: Any, form: dict[str, Any]) -> Any:
    return staff.post(page_of(row), form)
