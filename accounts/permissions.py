from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from .authentication import Caller


class Staff(BasePermission):
    """A member of staff by login, with the second factor where one is needed. An API key opens no staff route."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Caller) and request.user.acts_as_staff


class LoggedIn(BasePermission):
    """A person's own login, not an API key: a leaked key must not be able to make more of them."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Caller) and request.user.api_key_id is None
