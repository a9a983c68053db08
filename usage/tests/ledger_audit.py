"""At rest: what Redis and the table say, against what really happened."""

from datetime import date
from decimal import Decimal

from billing.money import nano_nearest
from usage.models import DeadLetter, UsageLog
from usage.redis import client

from .ledger_model import TIERS, Model, Truth

Rows = dict[tuple[str, int], UsageLog]


def compare(model: Model, today: date) -> None:
    """One row per attempt, exact or an estimate that is no less; counters as the table has them; nothing held."""
    rows = {(str(row.request_id), row.attempt): row for row in UsageLog.objects.all()}
    truths = {(truth.request, truth.attempt): truth for truth in model.truths}
    assert rows.keys() - truths.keys() == set()
    assert all(truth.unsent for key, truth in truths.items() if key not in rows)
    for key, row in rows.items():
        compare_row(model, truths[key], row)
    assert not DeadLetter.objects.exists()
    assert not list(client().scan_iter("budget:holds:*"))
    of_today = [(truths[key], row) for key, row in rows.items() if truths[key].day == today]
    spent = nano_nearest(Decimal(client().get("budget:today:usd")))
    if today not in model.resets:
        assert spent == sum(nano_nearest(row.cost_usd) for _, row in of_today)
    assert int(client().get(f"budget:{today}:held")) == 0
    for user in TIERS:
        compare_user(user, today, [row for truth, row in of_today if truth.user == user])
        compare_quota(model, user, today)


def compare_row(model: Model, truth: Truth, row: UsageLog) -> None:
    """The operator's amount is the truth, or an estimate that is no less. The payer's is the same or, of an unusable
    answer, nothing; where the process died or was taken for dead it may be anything between."""
    cost, charged = nano_nearest(row.cost_usd), nano_nearest(row.payers_amount)
    assert cost >= (truth.cost or 0) if row.estimated else cost == truth.cost, (cost, truth)
    assert 0 <= charged <= cost
    if truth.usable and not truth.unsent and (truth.request, truth.attempt) not in model.swept:
        assert charged == cost, truth


def compare_user(user: int, today: date, rows: list[UsageLog]) -> None:
    own = client().hgetall(f"budget:{today}:users")
    charged = sum(nano_nearest(row.payers_amount) for row in rows)
    assert (int(own.get(f"{user}:spent", 0)), int(own.get(f"{user}:held", 0))) == (charged, 0)
    waived = sum(nano_nearest(row.cost_usd - row.payers_amount) for row in rows)
    assert int(own.get(f"{user}:waived", 0)) == waived


def compare_quota(model: Model, user: int, today: date) -> None:
    said = int(client().hget(f"quota:{today}", user) or 0)
    asked = [a for a in model.asked.values() if (a.user, a.day) == (user, today)]
    sure = sum(a.counts and not a.orphan for a in asked)
    assert sure <= said <= sure + sum(a.orphan for a in asked), (user, said, sure)
