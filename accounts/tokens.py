"""JWT pairs: an access token for an hour, a refresh token for 30 days that is good for one use."""

from dataclasses import dataclass
from typing import cast

from django.db import transaction
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken

from .errors import BadCredentials, ExpiredToken
from .models import User


@dataclass(frozen=True, slots=True)
class TokenPair:
    access: str
    refresh: str


def issue_tokens(user: User) -> TokenPair:
    with transaction.atomic():
        refresh = RefreshToken.for_user(user)
        # The library keeps the token itself beside its id; the id is enough to blacklist it.
        OutstandingToken.objects.filter(jti=refresh["jti"]).update(token="")
    return TokenPair(str(refresh.access_token), str(refresh))


def rotate_tokens(refresh_text: str) -> TokenPair:
    """Spend a refresh token for a new pair."""
    user_id = spend_refresh_token(refresh_text)
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise BadCredentials
    return issue_tokens(user)


def spend_refresh_token(refresh_text: str) -> int:
    """Blacklist a refresh token; the id of its user. Also what a logout does."""
    try:
        refresh = RefreshToken(refresh_text)  # type: ignore[arg-type]
        # Two requests with one token at once both pass the check above: creating the blacklist row, which is
        # unique, decides which of them spent it.
        _row, spent_now = cast("tuple[object, bool]", refresh.blacklist())
    except ExpiredTokenError as error:
        raise ExpiredToken from error
    except TokenError as error:
        raise BadCredentials from error
    if not spent_now:
        raise BadCredentials
    return int(refresh["user_id"])
