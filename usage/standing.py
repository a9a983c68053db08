"""Where one caller stands: today's messages, tokens and cost, and the per-minute limit."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import Sum

from billing.entitlements import Entitlement
from billing.money import dollars

from . import budget
from .errors import Limits
from .ledger import day_bounds
from .models import UsageLog


@dataclass(frozen=True, slots=True)
class Today:
    messages: int
    max_messages: int
    tokens: int
    cost_usd: Decimal
    resets_at: datetime

    @property
    def percentage_used(self) -> Decimal:
        if self.max_messages == 0:
            return Decimal(100)
        return (Decimal(100 * self.messages) / self.max_messages).quantize(Decimal("0.1"))


def today(user_id: int, entitlement: Entitlement) -> Today:
    """Messages and cost are the live counters that the limits use; tokens come from the table, within seconds."""
    now = budget.counters(user_id)
    begins, ends = day_bounds(now.day)
    tokens = UsageLog.objects.filter(user_id=user_id, created_at__gte=begins, created_at__lt=ends).aggregate(
        total=Sum("tokens_input", default=0) + Sum("tokens_output", default=0)
    )["total"]
    return Today(
        messages=now.messages,
        max_messages=entitlement.messages_per_day,
        tokens=tokens,
        cost_usd=dollars(now.user_spent),
        resets_at=datetime.fromtimestamp(now.resets_at, UTC),
    )


def limits(user_id: int, entitlement: Entitlement) -> Limits:
    """The limits as they stand, for an answer that did not pass admission."""
    now = budget.counters(user_id)
    return Limits(
        per_minute=entitlement.requests_per_minute,
        rate_left=max(0, entitlement.requests_per_minute - now.recent),
        rate_reset=now.rate_reset,
        per_day=entitlement.messages_per_day,
        quota_used=now.messages,
        resets_at=now.resets_at,
        now=now.now,
    )
