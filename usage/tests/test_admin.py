"""The ledger in the admin: read-only, as many queries for many rows as for few, and no count of a huge table."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from usage.models import UsageLog

pytestmark = pytest.mark.django_db

LIST = "/admin/usage/usagelog/"


@pytest.fixture
def staff(sara: User) -> Client:
    client = Client()
    client.force_login(sara)
    return client


def rows(number: int) -> list[UsageLog]:
    return UsageLog.objects.bulk_create(
        UsageLog(user_id=n, provider="groq", model="gpt-oss-120b") for n in range(number)
    )


def queries_of(staff: Client, path: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert staff.get(path).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def test_no_more_queries_for_more_rows(staff: Client) -> None:
    rows(1)
    few = len(queries_of(staff, LIST))
    rows(60)
    assert len(queries_of(staff, LIST)) == few


def test_the_whole_table_is_never_counted(staff: Client) -> None:
    rows(3)
    counts = [sql for sql in queries_of(staff, LIST) if "COUNT(" in sql and "llm_usage_logs" in sql]
    assert all("LIMIT" in sql for sql in counts)


@pytest.mark.parametrize("verb", ["add", "change", "delete"])
def test_nobody_writes_the_ledger_by_hand(staff: Client, verb: str) -> None:
    (row,) = rows(1)
    path = f"{LIST}add/" if verb == "add" else f"{LIST}{row.pk}/{verb}/"
    assert staff.post(path, {"user_id": 5}).status_code == 403
    assert UsageLog.objects.get().user_id == 0


def test_search_is_by_exact_ids(staff: Client) -> None:
    wanted, other = rows(2)
    wanted.refresh_from_db()
    page = staff.get(LIST, {"q": str(wanted.request_id)}).content.decode()
    assert page.count("gpt-oss-120b") == 1
    assert staff.get(LIST, {"q": "garbage"}).content.decode().count("gpt-oss-120b") == 0
    assert staff.get(LIST, {"q": str(other.user_id)}).content.decode().count("gpt-oss-120b") == 1


@pytest.mark.parametrize(
    "path",
    [
        "/admin/accounts/user/",
        "/admin/accounts/softban/",
        "/admin/billing/tier/",
        "/admin/billing/usertier/",
        "/admin/llmrouter/model/",
        "/admin/llmrouter/model/gpt-4o/change/",
        "/admin/llmrouter/route/",
        "/admin/usage/budgetreset/",
        "/admin/usage/deadletter/",
    ],
)
def test_the_pages_open(staff: Client, path: str) -> None:
    assert staff.get(path).status_code == 200


def test_strangers_see_the_login(alice: User, client: Any) -> None:
    client.force_login(alice)
    assert client.get(LIST).status_code == 302
