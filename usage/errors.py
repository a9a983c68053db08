"""Why a call is not served, or not now.

UsageError
├── Refused                 the caller's own limits; nothing was counted
│   ├── Banned
│   ├── RateLimited         per minute
│   ├── QuotaExceeded       per day
│   └── BudgetExceeded      no route is left that the money allows
├── MayNotSuspend           this member of staff has no right to suspend that account
└── NotNow                  ours to mend; the caller may come back
    ├── RedisAway           the counters cannot be reached
    ├── Recovering          Redis came back, and what it may have lost is being handed in
    └── Backlogged          the table is too far behind the calls
"""

from dataclasses import dataclass


class UsageError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a caller stands. Times are seconds: `rate_reset` from now, `resets_at` since the epoch."""

    per_minute: int
    rate_left: int
    rate_reset: float
    per_day: int
    quota_used: int
    resets_at: int
    now: float

    @property
    def until_midnight(self) -> float:
        return self.resets_at - self.now


class Refused(UsageError):
    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__()
        self.limits = limits


class Banned(Refused):
    pass


class RateLimited(Refused):
    pass


class QuotaExceeded(Refused):
    pass


class BudgetExceeded(Refused):
    def __init__(self, scope: str, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.scope = scope


class MayNotSuspend(UsageError):
    pass


class NotNow(UsageError):
    pass


class RedisAway(NotNow):
    pass


class Recovering(NotNow):
    pass


class Backlogged(NotNow):
    pass
