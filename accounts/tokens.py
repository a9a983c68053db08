"""JWT pairs: an access token for an hour, a refresh token for 30 days that is good for one use.

Each carries a hash of the password's hash, so that a changed password ends them all, and whether a second factor was
given, without which no staff route opens where one is needed.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.db import transaction
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from .errors import BadCredentials, ExpiredToken
from .models import User

SECOND_FACTOR = "otp"


@dataclass(frozen=True, slots=True)
class TokenPair:
    access: str
    refresh: str


def issue_tokens(user: User, *, second_factor: bool = False) -> TokenPair:
    with transaction.atomic():
        refresh = RefreshToken.for_user(user)
        if second_factor:
            refresh[SECOND_FACTOR] = True
        # The library keeps the token itself beside its id; the id is enough to blacklist it.
        OutstandingToken.objects.filter(jti=refresh["jti"]).update(token="")
    return TokenPair(str(refresh.access_token), str(refresh))


def rotate_tokens(refresh_text: str) -> TokenPair:
    """Spend a refresh token for a new pair."""
    refresh = spend_refresh_token(refresh_text)
    user = User.objects.filter(pk=refresh["user_id"], is_active=True).first()
    if user is None or not is_of_this_password(user.password, refresh.payload):
        raise BadCredentials
    return issue_tokens(user, second_factor=refresh.get(SECOND_FACTOR) is True)


def is_of_this_password(password: str, claims: Mapping[str, Any]) -> bool:
    """Whether a token was made while the password was the one of now, of which this is the hash."""
    told = str(claims.get(api_settings.REVOKE_TOKEN_CLAIM, ""))
    return hmac.compare_digest(told.encode(), get_md5_hash_password(password).encode())


def end_refresh_tokens(user: User) -> None:
    """Every login of this person ends, within the hour that an access token lasts."""
    live = OutstandingToken.objects.filter(user=user, blacklistedtoken=None)
    # One of them may be spent at this instant: its row is unique, and there already is as good.
    BlacklistedToken.objects.bulk_create([BlacklistedToken(token=token) for token in live], ignore_conflicts=True)


def spend_refresh_token(refresh_text: str) -> RefreshToken:
    """Blacklist a refresh token. Also what a logout does."""
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
    return refresh
