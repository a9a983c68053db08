"""What a credential opens. A login (JWT) opens the account and its money; an API key opens the chat, the models and the
usage, because a key lies in programs and files and is more easily lost.

`LoggedIn` is the default of every view (`REST_FRAMEWORK` in the settings), so a new endpoint is closed to API keys
until it names `KeyOrLogin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from .authentication import Caller
from .errors import LoginNeeded

if TYPE_CHECKING:
    # The framework reads the default permissions while it makes this class.
    from rest_framework.views import APIView


class Staff(BasePermission):
    """A member of staff by login, with the second factor where one is needed. An API key opens no staff route."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Caller) and request.user.acts_as_staff


class LoggedIn(BasePermission):
    """A person's own login. A leaked API key must not make keys, spend money or show payments."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, Caller):
            return False
        if request.user.api_key_id is not None:
            raise LoginNeeded
        return True


class KeyOrLogin(BasePermission):
    """Either credential: what a program needs in order to chat."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Caller)
