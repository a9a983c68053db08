"""The trail of what staff do: one function records it, wherever it is done, in the transaction that does it."""

import getpass
import logging
from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from .models import StaffAction, User
from .throttle import client_address

logger = logging.getLogger(__name__)


def record(
    action: str,
    *,
    by: User | str | None,
    subject: object,
    details: Mapping[str, Any] | None = None,
    request: HttpRequest | None = None,
) -> StaffAction:
    """Write down that `by` did `action` ("ban.set") to `subject`.

    `by` is an account, an operator's name, or None for the system. Call it inside the transaction of the change: either
    both are there, or neither. `details` never holds a secret.
    """
    account = by if isinstance(by, User) else None
    row = StaffAction.objects.create(
        actor=account,
        actor_name=str(by or "system")[:254],
        action=action,
        subject=name_of(subject)[:200],
        details=dict(details or {}),
        address=client_address(request) if request is not None else "",
        request_id=getattr(request, "request_id", ""),
    )
    logger.info("Staff: %s", action, extra={"user_id": account.pk if account else None, "subject": row.subject})
    return row


def name_of(subject: object) -> str:
    """`user 7`, `tier pro`: by key, for names and addresses change."""
    return f"{subject._meta.model_name} {subject.pk}" if isinstance(subject, Model) else str(subject)


def operator() -> str:
    """Who sits at the command line."""
    return f"{getpass.getuser()} (command line)"
