from typing import Any

from django.http import Http404
from django.utils.translation import get_language_from_request
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken

from . import second_factor
from .authentication import Caller
from .joining import count_sign_up, right_password, sign_up
from .keyring import KEYS_LIMIT, issue_key, keys_of, revoke_key
from .serializers import (
    ApiKeySerializer,
    LoginSerializer,
    NewApiKeySerializer,
    RefreshSerializer,
    RegisteredSerializer,
    RegistrationSerializer,
    TokensSerializer,
    checked,
)
from .throttle import limit_attempts
from .tokens import TokenPair, issue_tokens, rotate_tokens, spend_refresh_token

REFRESH_LIMIT = "60/m"

SOMEBODY = OpenApiExample(
    "somebody", {"email": "amina@example.dz", "password": "correct horse battery"}, request_only=True
)
LAPTOP = OpenApiExample("a laptop", {"name": "laptop"}, request_only=True)


class RegisterView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(
        summary="Sign up",
        request=RegistrationSerializer,
        responses={201: RegisteredSerializer},
        examples=[SOMEBODY],
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        count_sign_up(request._request)
        wanted = checked(RegistrationSerializer, request)
        user = sign_up(request._request, **wanted, language=get_language_from_request(request._request))
        pair = issue_tokens(user)
        body = {"id": user.pk, "email": user.email, "access_token": pair.access, "refresh_token": pair.refresh}
        return Response(body, status.HTTP_201_CREATED)


class LoginView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(
        summary="Log in", request=LoginSerializer, responses=TokensSerializer, examples=[SOMEBODY], tags=["auth"]
    )
    def post(self, request: Request) -> Response:
        given = checked(LoginSerializer, request)
        user = right_password(request._request, email=given["email"], password=given["password"])
        passed = second_factor.pass_at_login(request._request, user, given["otp"])
        return Response(tokens_body(issue_tokens(user, second_factor=passed)))


class RefreshView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(
        summary="New tokens for a refresh token, which is good for one use",
        request=RefreshSerializer,
        responses=TokensSerializer,
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        limit_attempts(request._request, "refresh", REFRESH_LIMIT)
        return Response(tokens_body(rotate_tokens(checked(RefreshSerializer, request)["refresh_token"])))


class LogoutView(APIView):
    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(summary="Log out", request=RefreshSerializer, responses={204: None}, tags=["auth"])
    def post(self, request: Request) -> Response:
        limit_attempts(request._request, "logout", REFRESH_LIMIT)
        spend_refresh_token(checked(RefreshSerializer, request)["refresh_token"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class ApiKeysView(APIView):
    @extend_schema(summary="Your API keys", responses=ApiKeySerializer(many=True), tags=["auth"])
    def get(self, request: Request) -> Response:
        return Response(ApiKeySerializer(keys_of(caller_of(request).user_id), many=True).data)

    @extend_schema(
        summary="Make an API key; it is shown this once",
        request=NewApiKeySerializer,
        responses={201: NewApiKeySerializer},
        examples=[LAPTOP],
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        limit_attempts(request._request, "keys", KEYS_LIMIT, account=str(caller_of(request).user_id))
        name = checked(NewApiKeySerializer, request)["name"]
        row, text = issue_key(user_id=caller_of(request).user_id, name=name)
        return Response({**NewApiKeySerializer(row).data, "key": text}, status.HTTP_201_CREATED)


class ApiKeyView(APIView):
    @extend_schema(summary="Revoke an API key", responses={204: None}, tags=["auth"])
    def delete(self, request: Request, key_id: int) -> Response:
        limit_attempts(request._request, "keys", KEYS_LIMIT, account=str(caller_of(request).user_id))
        if not revoke_key(user_id=caller_of(request).user_id, key_id=key_id):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


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
