"""Soft bans: a user who may not chat for a while. PostgreSQL has the truth; the copy in Redis bites at once.

Who may suspend whom is decided here and nowhere else. `soft_ban` and `lift_ban` ask it themselves, so each way in (the
API, the dashboard, the lists of the admin) keeps the rule, also a way that is added later.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.audit import record
from accounts.models import SoftBan, User

from .errors import MayNotSuspend
from .redis import reaching_redis

DEFAULT_LENGTH = timedelta(hours=24)


def may_suspend(*, by: User, user: User) -> bool:
    """Whether `by` may suspend `user`, or lift the suspension of `user`.

    Every member of staff may do so to a customer. Only a superuser may do so to another member of staff. Nobody may do
    so to the own account, and a suspended member of staff may do so to no account.
    """
    return within_reach(by=by, user=user) and not is_suspended(by)


def within_reach(*, by: User, user: User) -> bool:
    """The part of the rule that needs no query."""
    if not (by.is_active and by.is_staff) or by.pk == user.pk:
        return False
    return by.is_superuser or not (user.is_staff or user.is_superuser)


def is_suspended(user: User) -> bool:
    return SoftBan.objects.in_force(timezone.now()).filter(user=user).exists()


def soft_ban(*, user: User, reason: str, by: User | None, length: timedelta = DEFAULT_LENGTH) -> SoftBan:
    """Ban, or change the ban that is there. `by` is None for a command of the operator. Raises `MayNotSuspend`."""
    until = timezone.now() + length
    with transaction.atomic():
        _check_right(by=by, user=user)
        # Two members of staff at once: one unlifted ban per user is a constraint, the second one changes it.
        ban, _ = SoftBan.objects.update_or_create(
            user=user, lifted_at=None, defaults={"reason": reason, "banned_by": by, "until": until}
        )
        record("ban.set", by=by, subject=user, details={"reason": reason, "until": until.isoformat()})
        # Inside the transaction: if Redis cannot be told, there is no ban, and staff see an error.
        _tell_redis(user.pk, reason, until)
    return ban


def lift_ban(*, user: User, by: User | None) -> bool:
    """End the ban; whether there was one in force. Raises `MayNotSuspend`."""
    with transaction.atomic():
        _check_right(by=by, user=user)
        lifted = SoftBan.objects.filter(user=user, lifted_at=None).update(lifted_at=timezone.now(), lifted_by=by)
        if lifted:
            record("ban.lifted", by=by, subject=user)
        with reaching_redis() as redis:
            redis.delete(f"banned:{user.pk}")
    return bool(lifted)


def _check_right(*, by: User | None, user: User) -> None:
    if by is None:
        return
    # The rows are locked and read again, in the order of their ids so that two of these cannot deadlock: a suspension
    # of `by`, or a promotion of `user` to staff, that commits first is seen here.
    rows = User.objects.select_for_update(no_key=True).filter(pk__in={by.pk, user.pk}).order_by("pk")
    now = {row.pk: row for row in rows}
    if by.pk not in now or user.pk not in now or not may_suspend(by=now[by.pk], user=now[user.pk]):
        raise MayNotSuspend


def _tell_redis(user_id: int, reason: str, until: datetime) -> None:
    with reaching_redis() as redis:
        redis.set(f"banned:{user_id}", reason, exat=int(until.timestamp()))
