"""Who somebody is, for other apps' lists."""

from collections.abc import Collection

from .models import User


def emails_of(user_ids: Collection[int]) -> dict[int, str]:
    """The addresses of those who still have an account."""
    return dict(User.objects.filter(pk__in=user_ids).values_list("pk", "email"))


def how_many() -> int:
    """Accounts there are."""
    return User.objects.count()
