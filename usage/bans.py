"""Soft bans: a user who may not chat for a while. PostgreSQL has the truth; the copy in Redis bites at once."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.audit import record
from accounts.models import SoftBan, User

from .redis import reaching_redis

DEFAULT_LENGTH = timedelta(hours=24)


def soft_ban(*, user: User, reason: str, by: User | None, length: timedelta = DEFAULT_LENGTH) -> SoftBan:
    """Ban, or change the ban that is there."""
    until = timezone.now() + length
    with transaction.atomic():
        # Two members of staff at once: one unlifted ban per user is a constraint, the second one changes it.
        ban, _ = SoftBan.objects.update_or_create(
            user=user, lifted_at=None, defaults={"reason": reason, "banned_by": by, "until": until}
        )
        record("ban.set", by=by, subject=user, details={"reason": reason, "until": until.isoformat()})
        # Inside the transaction: if Redis cannot be told, there is no ban, and staff see an error.
        _tell_redis(user.pk, reason, until)
    return ban


def lift_ban(*, user: User, by: User | None) -> bool:
    """End the ban; whether there was one in force."""
    with transaction.atomic():
        lifted = SoftBan.objects.filter(user=user, lifted_at=None).update(lifted_at=timezone.now(), lifted_by=by)
        if lifted:
            record("ban.lifted", by=by, subject=user)
        with reaching_redis() as redis:
            redis.delete(f"banned:{user.pk}")
    return bool(lifted)


def _tell_redis(user_id: int, reason: str, until: datetime) -> None:
    with reaching_redis() as redis:
        redis.set(f"banned:{user_id}", reason, exat=int(until.timestamp()))
