"""How long the operator's view takes over millions of usage rows: the page and the JSON, and their queries.

    make bench-dashboard [ROWS=2000000]

The rows are generated in PostgreSQL, in a scratch database under `var/bench`; today has as many as any other day.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

from . import rig

DAYS, USERS = 30, 5000

ROWS_OF_A_DAY = """
    INSERT INTO llm_usage_logs (user_id, tier, provider, model, tokens_input, tokens_output, cost_usd, latency_ms,
                                error_flag, created_at)
    SELECT user_id, (ARRAY['free', 'student', 'pro', 'enterprise'])[1 + user_id %% 4],
           provider, provider || '/model-' || (random() * 4)::int,
           (random() * 900)::int, (random() * 700)::int,
           CASE provider WHEN 'groq' THEN 0 ELSE round((random() * 0.0004)::numeric, 9) END,
           (200 + 3000 * random() * random())::int, random() < 0.02,
           begins + random() * (least(now(), begins + interval '1 day') - begins)
    FROM (
        SELECT date_trunc('day', now(), 'Africa/Algiers') - %(ago)s * interval '1 day' AS begins,
               1 + (random() ^ 2 * %(users)s)::int AS user_id,
               (ARRAY['groq', 'openrouter', 'mistral'])[1 + (random() * 2)::int] AS provider
        FROM generate_series(1, %(rows)s)
    ) AS made
    ORDER BY 10
"""
PEOPLE = """
    INSERT INTO users (email, password, is_superuser) SELECT 'user' || n || '@example.dz', '!', false
    FROM generate_series(1, %s) AS n
"""
PAYMENTS = """
    INSERT INTO payment_transactions (user_id, tier, amount_dzd, dzd_per_usd, status, paid_at)
    SELECT user_id, tier, CASE tier WHEN 'pro' THEN 2590 ELSE 1590 END, 230, 'paid',
           now() - random() * interval '30 days'
    FROM (SELECT id AS user_id, (ARRAY['student', 'pro'])[1 + random()::int] AS tier FROM users) AS buyers
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--keep", action="store_true", help="measure the rows of the last run again")
    wanted = parser.parse_args()
    with rig.servers(keep=wanted.keep):
        if not wanted.keep:
            fill(wanted.rows)
        measure(wanted.runs)


def fill(rows: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from usage import rollups

    call_command("load_tiers", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, [USERS])
        cursor.execute(PAYMENTS)
        begun = time.perf_counter()
        for ago in range(DAYS):
            cursor.execute(ROWS_OF_A_DAY, {"users": USERS - 1, "ago": ago, "rows": rows // DAYS})
        say(f"{rows:,} rows of {DAYS} days and {USERS:,} users, sums written with them", time.perf_counter() - begun)
        say("the sums folded", timed(rollups.fold))
        for batch in (2000, 50):
            say(f"a batch of {batch} rows", median(partial(one_batch, cursor, batch), 9))
            cursor.execute("ALTER TABLE llm_usage_logs DISABLE TRIGGER USER")
            say("  the same without sums", median(partial(one_batch, cursor, batch), 9))
            cursor.execute("ALTER TABLE llm_usage_logs ENABLE TRIGGER USER")
        cursor.execute("VACUUM ANALYZE")


def one_batch(cursor: Any, rows: int) -> None:
    """As the drainer writes it."""
    cursor.execute(ROWS_OF_A_DAY, {"users": USERS - 1, "ago": 40, "rows": rows})


def measure(runs: int) -> None:
    from django.db import connection
    from django.test import Client

    from accounts.models import User
    from accounts.tokens import issue_tokens
    from usage.clock import today as this_day
    from usage.process import this_process
    from usage.reports import history
    from usage.rollups import rebuild

    User.objects.filter(email="staff@example.dz").delete()
    staff = User.objects.create_superuser("staff@example.dz", "correct horse battery")
    browser = Client(headers={"Accept": "text/html"})
    browser.force_login(staff)
    program = Client(headers={"Authorization": f"Bearer {issue_tokens(staff).access}"})
    print(f"\n{history.totals(this_day(), this_day()).calls:,} rows today\n")
    for name, client, path in (
        ("JSON", program, "/admin/dashboard"),
        ("JSON, costs of 30 days", program, "/admin/costs/breakdown?days=30"),
        ("page, today", browser, "/admin/dashboard"),
        ("page, today, refreshed in place", browser, "/admin/dashboard?fragment=1"),
        ("page, 7 days", browser, "/admin/dashboard?period=7d"),
        ("page, 30 days", browser, "/admin/dashboard?period=30d"),
    ):
        with counted(connection) as queries:
            assert client.get(path).status_code == 200
        took = [timed(partial(client.get, path)) for _ in range(runs)]
        worst, middle = max(took), statistics.median(took)
        print(f"{name:34} {1000 * middle:6.0f} ms median {1000 * worst:6.0f} ms worst {len(queries):4} queries")
    this_process().leave()
    print(f"\nsums of today that a recount finds wrong: {rebuild(this_day(), dry_run=True)}")


@contextmanager
def counted(connection: Any) -> Iterator[list[str]]:
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield asked


def timed(action: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def median(action: Callable[[], Any], runs: int) -> float:
    return statistics.median(timed(action) for _ in range(runs))


def say(what: str, seconds: float) -> None:
    print(f"{what}: {Decimal(seconds):.3f} s", flush=True)


if __name__ == "__main__":
    main()
