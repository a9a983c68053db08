"""`make bench-growth`: does a call cost more with 100,000 users than with few, with 5,000,000 rows than with none?

    python -m benchmarks.growth [--users 100000] [--rows 5000000]

The product is measured, filled (by SQL, while it runs), and measured again: CPU per chat, and what the pages of the
usage list cost. Ratios near 1 are the point.
"""

import argparse
import statistics
import time
import urllib.request
from typing import Any

from . import rig
from .contenders import CHAT

CALLERS = 16
SECONDS = 2.0
ROUNDS = 3
PAGES = 40


def measure(product: rig.Product) -> dict[str, float]:
    product.wait_until_drained()
    return {
        "CPU ms per chat, web": statistics.median(cpu_of_chats(product)["web"] for _ in range(ROUNDS)),
        "CPU ms per chat, all": statistics.median(sum(cpu_of_chats(product).values()) for _ in range(ROUNDS)),
        "ms per page of /api/v2/usage": pages(product, "/api/v2/usage"),
        "ms per /api/v2/usage/today": pages(product, "/api/v2/usage/today"),
    }


def cpu_of_chats(product: rig.Product) -> dict[str, float]:
    before = product.cpu()
    seen = rig.load(
        url=product.url + "/v1/chat/completions",
        body=CHAT,
        tokens=product.keys[:CALLERS],
        callers=CALLERS,
        seconds=SECONDS,
    )
    product.wait_until_drained()
    return {name: (now - before[name]) * 1000 / seen["all_calls"] for name, now in product.cpu().items()}


def pages(product: rig.Product, path: str) -> float:
    """The median of the newest page for one and the same customer, who has as many rows as everybody."""
    request = urllib.request.Request(product.url + path, headers={"Authorization": f"Bearer {product.keys[-1]}"})
    took = []
    for _ in range(PAGES):
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def add_users(number: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO users (email, password, is_active, is_staff, is_superuser, date_joined)
            SELECT 'grown' || n || '@bench.dz', '!', true, false, false, now() FROM generate_series(1, %s) AS n
            """,
            [number],
        )
        cursor.execute("INSERT INTO user_tiers (user_id, tier) SELECT id, 'pro' FROM users WHERE email LIKE 'grown%%'")
        cursor.execute("ANALYZE")


def add_rows(number: int) -> None:
    """Over 90 days and all users, without the triggers that keep sums: it is the table that is to be long."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            """
            INSERT INTO llm_usage_logs (user_id, tier, provider, model, requested_model, tokens_input, tokens_output,
                cost_usd, list_cost_usd, latency_ms, endpoint, finish_reason, created_at)
            SELECT 1 + n %% (SELECT max(id) FROM users), 'pro', 'openrouter', 'openai/gpt-4o', 'gpt-4o', 20, 50,
                0.00055, 0.00055, 800, '/v1/chat/completions', 'stop', now() - (n %% 7776000) * interval '1 second'
            FROM generate_series(1, %s) AS n
            """,
            [number],
        )
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("ANALYZE llm_usage_logs")


def show(found: dict[str, dict[str, float]]) -> None:
    first = next(iter(found.values()))
    print("| | " + " | ".join(found) + " | last : first |\n| --- |" + " --- |" * (len(found) + 1))
    for name, base in first.items():
        values = [figures[name] for figures in found.values()]
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + f" | {values[-1] / base:.2f} |")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=5_000_000)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    with rig.upstream() as provider, rig.product(provider) as product:
        provider.set(delay=0)
        cpu_of_chats(product)
        found["few users, few rows"] = measure(product)
        add_users(asked.users)
        found[f"{asked.users:,} users"] = measure(product)
        add_rows(asked.rows)
        found[f"and {asked.rows:,} rows"] = measure(product)
    show(found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
