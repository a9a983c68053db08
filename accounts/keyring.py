"""The API keys of one user: made (and shown once), listed, revoked; for the API and for the pages alike."""

from django.utils import timezone

from .errors import TooManyKeys
from .models import ApiKey, ApiKeyQuerySet

KEYS_LIMIT = "60/h"
KEYS_PER_ACCOUNT = 50


def keys_of(user_id: int) -> ApiKeyQuerySet:
    keys: ApiKeyQuerySet = ApiKey.objects.in_force().filter(user_id=user_id)
    return keys


def issue_key(*, user_id: int, name: str) -> tuple[ApiKey, str]:
    """The row, and the text that is shown once and kept nowhere; raises `TooManyKeys`."""
    if keys_of(user_id).count() >= KEYS_PER_ACCOUNT:
        raise TooManyKeys(KEYS_PER_ACCOUNT)
    return ApiKey.objects.issue(user_id=user_id, name=name)


def revoke_key(*, user_id: int, key_id: int) -> bool:
    """Whether there was such a key of this user to revoke."""
    # One statement finds it, checks whose it is, and revokes it: of two at once one is told that it was there.
    return bool(keys_of(user_id).filter(pk=key_id).update(revoked_at=timezone.now()))
