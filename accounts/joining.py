"""Sign up and sign in: one way for the API and for the pages, with the same limits and the same answers."""

from django.conf import settings
from django.contrib.auth import authenticate as check_password
from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from . import sign_ups
from .errors import AddressTaken, BadCredentials
from .models import User, normal_email
from .throttle import client_address, limit_attempts, limit_logins


def check_new_password(password: str, *, email: str) -> None:
    """Raise Django's `ValidationError` for a weak password; one that resembles the e-mail address is weak too."""
    validate_password(password, User(email=normal_email(email)))


def count_sign_up(request: HttpRequest) -> None:
    """Each try counts, also one that is refused for its password; raises `TooManyAttempts`."""
    limit_attempts(request, "register", settings.SIGNUP_LIMIT)


def sign_up(request: HttpRequest, *, email: str, password: str, language: str) -> User:
    """A new account; raises `AddressTaken`, and `TooManyAttempts` when its address has made its free accounts."""
    user = User(email=normal_email(email), language=language)
    # Before the transaction: the lock on the network address is not held for the length of a hash.
    user.set_password(password)
    try:
        with transaction.atomic():
            sign_ups.save(user, address=client_address(request))
    except IntegrityError as error:
        # The unique address decides between two sign-ups at once; there is no look before the leap.
        raise AddressTaken from error
    return user


def right_password(request: HttpRequest, *, email: str, password: str) -> User:
    """Whose credentials these are; raises `BadCredentials` or `TooManyAttempts`."""
    limit_logins(request, username=email)
    # Django's backend hashes for an unknown address too: same answer, same time, nothing to enumerate.
    user = check_password(request, username=email, password=password)
    if not isinstance(user, User):
        raise BadCredentials
    return user
