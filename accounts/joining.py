"""Sign up and sign in: one way for the API and for the pages, with the same limits and the same answers."""

from django.conf import settings
from django.contrib.auth import authenticate as check_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from .errors import AddressTaken, BadCredentials
from .models import User
from .throttle import client_address, count_attempt, limit_attempts


def count_sign_up(request: HttpRequest) -> None:
    """Each try counts, also one that is refused for its password; raises `TooManyAttempts`."""
    limit_attempts(request, "register", settings.SIGNUP_LIMIT)


def sign_up(request: HttpRequest, *, email: str, password: str, language: str) -> User:
    """A new account; raises `AddressTaken`, and `TooManyAttempts` when its address has made its free accounts."""
    count_free_account(request, increment=False)
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, language=language)
    except IntegrityError as error:
        # The unique address decides between two sign-ups at once; there is no look before the leap.
        raise AddressTaken from error
    count_free_account(request, increment=True)
    return user


def count_free_account(request: HttpRequest, *, increment: bool) -> None:
    if settings.FREE_ACCOUNTS_PER_ADDRESS:
        rate, key = f"{settings.FREE_ACCOUNTS_PER_ADDRESS}/d", f"address:{client_address(request)}"
        count_attempt(request, "free-accounts", rate, key=key, increment=increment)


def right_password(request: HttpRequest, *, email: str, password: str) -> User:
    """Whose credentials these are; raises `BadCredentials` or `TooManyAttempts`."""
    limit_attempts(request, "login", settings.LOGIN_LIMIT, account=email.lower())
    # Django's backend hashes for an unknown address too: same answer, same time, nothing to enumerate.
    user = check_password(request, username=email, password=password)
    if not isinstance(user, User):
        raise BadCredentials
    return user
