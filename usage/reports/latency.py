"""Percentiles from counts: how many calls took how long, by the day and provider."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from .query import rows

# A bucket of latencies is this much wider than the one before (see the migration whose triggers fill them).
STEP = 1.1


def latencies(first: date, last: date) -> dict[str, list[tuple[int, int]]]:
    """Per provider: how many calls took how long, in buckets of latency, the quickest first."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for provider, bucket, calls in rows(
        """
        SELECT provider, bucket, sum(calls)::bigint FROM usage_rollup_latencies
        WHERE day >= %s AND day <= %s GROUP BY 1, 2 HAVING sum(calls) > 0 ORDER BY 1, 2
        """,
        first,
        last,
    ):
        found[provider].append((bucket, calls))
    return found


def quantiles(buckets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The 50th and the 95th percentile."""
    return quantile(buckets, 0.5), quantile(buckets, 0.95)


def quantile(buckets: Sequence[tuple[int, int]], share: float) -> int:
    """Milliseconds: the middle of the bucket in which that share of the calls has been answered."""
    wanted, seen = share * sum(calls for _, calls in buckets), 0
    for bucket, calls in buckets:
        seen += calls
        if seen >= wanted:
            return round(STEP**bucket * (1 + 1 / STEP) / 2) if bucket else 0
    return 0
