from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate as check_password
from django.db import IntegrityError, transaction
from django.http import Http404
from django.utils import timezone
from django.utils.translation import get_language_from_request
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken

from .authentication import Caller, forget_callers
from .errors import AddressTaken, BadCredentials, TooManyKeys
from .models import ApiKey, ApiKeyQuerySet, User
from .permissions import LoggedIn
from .serializers import (
    ApiKeySerializer,
    CredentialsSerializer,
    NewApiKeySerializer,
    RefreshSerializer,
    RegisteredSerializer,
    RegistrationSerializer,
    TokensSerializer,
    checked,
)
from .throttle import client_address, count_attempt, limit_attempts
from .tokens import TokenPair, issue_tokens, rotate_tokens, spend_refresh_token

KEYS_LIMIT = "60/h"
KEYS_PER_ACCOUNT = 50
REFRESH_LIMIT = "60/m"


class RegisterView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=RegistrationSerializer, responses={201: RegisteredSerializer}, tags=["auth"])
    def post(self, request: Request) -> Response:
        limit_attempts(request._request, "register", settings.SIGNUP_LIMIT)
        wanted = checked(RegistrationSerializer, request)
        free_accounts = f"{settings.FREE_ACCOUNTS_PER_ADDRESS}/d"
        address = f"address:{client_address(request._request)}"
        if settings.FREE_ACCOUNTS_PER_ADDRESS:
            count_attempt(request._request, "free-accounts", free_accounts, key=address, increment=False)
        try:
            with transaction.atomic():
                user = User.objects.create_user(**wanted, language=get_language_from_request(request._request))
        except IntegrityError as error:
            # The unique address decides between two sign-ups at once; there is no look before the leap.
            raise AddressTaken from error
        if settings.FREE_ACCOUNTS_PER_ADDRESS:
            count_attempt(request._request, "free-accounts", free_accounts, key=address)
        pair = issue_tokens(user)
        body = {"id": user.pk, "email": user.email, "access_token": pair.access, "refresh_token": pair.refresh}
        return Response(body, status.HTTP_201_CREATED)


class LoginView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=CredentialsSerializer, responses=TokensSerializer, tags=["auth"])
    def post(self, request: Request) -> Response:
        given = checked(CredentialsSerializer, request)
        limit_attempts(request._request, "login", settings.LOGIN_LIMIT, account=given["email"].lower())
        # Django's backend hashes for an unknown address too: same answer, same time, nothing to enumerate.
        user = check_password(request._request, username=given["email"], password=given["password"])
        if not isinstance(user, User):
            raise BadCredentials
        return Response(tokens_body(issue_tokens(user)))


class RefreshView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=RefreshSerializer, responses=TokensSerializer, tags=["auth"])
    def post(self, request: Request) -> Response:
        limit_attempts(request._request, "refresh", REFRESH_LIMIT)
        return Response(tokens_body(rotate_tokens(checked(RefreshSerializer, request)["refresh_token"])))


class LogoutView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=RefreshSerializer, responses={204: None}, tags=["auth"])
    def post(self, request: Request) -> Response:
        limit_attempts(request._request, "logout", REFRESH_LIMIT)
        spend_refresh_token(checked(RefreshSerializer, request)["refresh_token"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class ApiKeysView(APIView):
    permission_classes = (LoggedIn,)

    @extend_schema(responses=ApiKeySerializer(many=True), tags=["auth"])
    def get(self, request: Request) -> Response:
        return Response(ApiKeySerializer(keys_of(request), many=True).data)

    @extend_schema(request=NewApiKeySerializer, responses={201: NewApiKeySerializer}, tags=["auth"])
    def post(self, request: Request) -> Response:
        limit_attempts(request._request, "keys", KEYS_LIMIT, account=str(caller_of(request).user_id))
        name = checked(NewApiKeySerializer, request)["name"]
        if keys_of(request).count() >= KEYS_PER_ACCOUNT:
            raise TooManyKeys(KEYS_PER_ACCOUNT)
        row, text = ApiKey.objects.issue(user_id=caller_of(request).user_id, name=name)
        return Response({**NewApiKeySerializer(row).data, "key": text}, status.HTTP_201_CREATED)


class ApiKeyView(APIView):
    permission_classes = (LoggedIn,)

    @extend_schema(responses={204: None}, tags=["auth"])
    def delete(self, request: Request, key_id: int) -> Response:
        limit_attempts(request._request, "keys", KEYS_LIMIT, account=str(caller_of(request).user_id))
        # One statement finds it, checks whose it is, and revokes it: two deletions at once give one 204 and one 404.
        if not keys_of(request).filter(pk=key_id).update(revoked_at=timezone.now()):
            raise Http404
        forget_callers()
        return Response(status=status.HTTP_204_NO_CONTENT)


def keys_of(request: Request) -> ApiKeyQuerySet:
    return ApiKey.objects.in_force().filter(user_id=caller_of(request).user_id)


def caller_of(request: Request) -> Caller:
    assert isinstance(request.user, Caller)
    return request.user


def tokens_body(pair: TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "token_type": "bearer",
        "expires_in": int(AccessToken.lifetime.total_seconds()),
    }
