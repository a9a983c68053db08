"""Who may see the operator's view: staff, by their own login with its second factor. A leaked key must not open it."""

from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import BearerAuthentication, Caller
from accounts.models import User

# The session of the admin comes with a check against forged forms (CSRF); a bearer needs none.
authentication = (BearerAuthentication, SessionAuthentication)


class StaffOnly(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        who = request.user
        if isinstance(who, Caller):
            return who.acts_as_staff
        return isinstance(who, User) and who.is_staff
