"""GET /api/v2/usage: the caller's own calls, newest first, page by page."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from conftest import key_of
from usage.models import UsageLog

pytestmark = pytest.mark.django_db


def pages(user: User, query: str) -> list[list[dict[str, Any]]]:
    address, found = f"/api/v2/usage?{query}", []
    while address:
        page = Client().get(address, headers={"Authorization": f"Bearer {key_of(user)}"}).json()
        found.append(page["results"])
        address = (page["next"] or "").removeprefix("http://testserver")
    return found


def test_newest_first_page_by_page_and_nobody_elses(alice: User, bob: User) -> None:
    now = timezone.now()
    for number in range(5):
        # Two at a time share an instant, as the attempts of one call may.
        at = now - timedelta(minutes=number // 2)
        UsageLog.objects.create(user_id=alice.pk, provider="groq", model=f"m{number}", created_at=at)
    UsageLog.objects.create(user_id=bob.pk, provider="groq", model="his")
    seen = pages(alice, "page_size=2")
    assert [len(page) for page in seen] == [2, 2, 1]
    assert [row["model"] for page in seen for row in page] == ["m1", "m0", "m3", "m2", "m4"]


def test_a_page_has_its_bound(alice: User) -> None:
    UsageLog.objects.bulk_create(UsageLog(user_id=alice.pk, provider="groq", model="m") for _ in range(210))
    assert [len(page) for page in pages(alice, "page_size=100000")] == [200, 10]
    assert [len(page) for page in pages(alice, "")] == [50, 50, 50, 50, 10]
