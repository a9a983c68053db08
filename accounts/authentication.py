"""`Authorization: Bearer …` -> the caller: a JWT or an `iaf_` key, the same for every API.

What a credential stands for is remembered (see `fresh`), so a caller who was here a moment ago costs no SQL.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.tokens import AccessToken

from . import changes, holders, key_uses, second_factor
from .errors import AccountsAway, BadCredentials, ExpiredToken, Unauthenticated
from .fresh import Fresh, StoreAway
from .holders import Holder
from .keys import PREFIX, digest_of
from .models import User
from .tokens import SECOND_FACTOR, is_of_this_password


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone whose credentials held. Times are in seconds since the epoch."""

    user_id: int
    email: str
    is_staff: bool
    valid_until: float = math.inf
    api_key_id: int | None = None
    banned_until: float = 0.0
    # May use staff routes with these credentials: never with an API key, nor without the second factor that is needed.
    acts_as_staff: bool = False

    @property
    def banned(self) -> bool:
        return self.banned_until > time.time()

    # What Django REST framework's permissions ask of a user.
    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def pk(self) -> int:
        return self.user_id


def authenticate(header: str | None) -> Caller:
    """The caller behind an `Authorization` header; raises `Unauthenticated` or `AccountsAway`."""
    scheme, _, token = (header or "").partition(" ")
    token = token.strip()
    if not token:
        raise Unauthenticated
    if scheme.lower() != "bearer" or not token.isascii():
        raise BadCredentials
    try:
        caller = _callers.get(token)
    except StoreAway as error:
        raise AccountsAway from error
    if caller.valid_until <= time.time():
        raise ExpiredToken
    if caller.api_key_id is not None:
        # Outside of the load: if this write fails or waits, the caller is known all the same.
        key_uses.note(caller.api_key_id)
    return caller


class BearerAuthentication(BaseAuthentication):
    """The same, for Django REST framework: `request.user` is the `Caller`."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        header = request.headers.get("Authorization")
        if not header:
            return None
        # What another process changed about this caller, and what this one remembers of everybody, counts from here on.
        changes.look(authenticate(header).user_id)
        caller = authenticate(header)
        # For whoever is outside of the view: the middleware that tells callers where they stand.
        request._request.caller = caller  # type: ignore[attr-defined]
        return caller, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _load(token: str) -> Caller:
    return _load_api_key(token) if token.startswith(PREFIX) else _load_jwt(token)


def _load_api_key(token: str) -> Caller:
    found = holders.owner_of_key(digest_of(token))
    if found is None:
        raise BadCredentials
    owner, use = found
    key_uses.saw(use)
    return _caller(owner, api_key_id=use.id)


def _load_jwt(token: str) -> Caller:
    claims = _verified(token)
    holder = holders.holder(int(claims["user_id"]))
    if holder is None or not is_of_this_password(holder.password, claims):
        raise BadCredentials
    acts = holder.is_staff and (claims.get(SECOND_FACTOR) is True or not _needs_second_factor(holder))
    return _caller(holder, valid_until=float(claims["exp"]), acts_as_staff=acts)


def _needs_second_factor(holder: Holder) -> bool:
    staff = User.objects.filter(pk=holder.user_id).first()
    return staff is None or second_factor.is_needed(staff)


def _caller(holder: Holder, **facts: Any) -> Caller:
    return Caller(holder.user_id, holder.email, holder.is_staff, banned_until=holder.banned_until, **facts)


def _verified(token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = AccessToken(token).payload  # type: ignore[arg-type]
    except ExpiredTokenError as error:
        raise ExpiredToken from error
    except TokenError as error:
        raise BadCredentials from error
    if not str(claims.get("user_id", "")).isdecimal():
        raise BadCredentials
    return claims


_callers: Fresh[str, Caller] = Fresh(_load, owner=lambda _token, caller: caller.user_id)


def forget_callers() -> None:
    """Make this process ask PostgreSQL again about everyone (a change by SQL is seen within 5 s without this)."""
    _callers.clear()
    key_uses.forget()
