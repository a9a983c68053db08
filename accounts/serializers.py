from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import serializers
from rest_framework.request import Request

from .joining import check_new_password
from .models import ApiKey
from .plain import check_mailable


class CredentialsSerializer(serializers.Serializer[None]):
    email = serializers.EmailField(max_length=254)
    # Bounded: hashing a megabyte is an attack.
    password = serializers.CharField(max_length=256, trim_whitespace=False, style={"input_type": "password"})


class LoginSerializer(CredentialsSerializer):
    otp = serializers.CharField(
        max_length=16, required=False, default="", allow_blank=True, help_text="Staff: the code of the second factor."
    )


class RegistrationSerializer(CredentialsSerializer):
    def validate_email(self, value: str) -> str:
        check_mailable(value)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Both fields are needed: a password that resembles the address is weak.
        try:
            check_new_password(attrs["password"], email=attrs["email"])
        except ValidationError as error:
            raise serializers.ValidationError({"password": error.messages}, code="weak_password") from error
        return attrs


class RegisteredSerializer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    email = serializers.EmailField()
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()


class TokensSerializer(serializers.Serializer[None]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField(default="bearer")
    expires_in = serializers.IntegerField(help_text="Seconds until the access token ends.")


class RefreshSerializer(serializers.Serializer[None]):
    refresh_token = serializers.CharField(max_length=2048)


class MeSerializer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    email = serializers.EmailField()
    tier = serializers.CharField()
    is_staff = serializers.BooleanField()


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields = ("id", "name", "prefix", "created_at", "last_used_at")
        read_only_fields = ("id", "prefix", "created_at", "last_used_at")


class NewApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    key = serializers.CharField(read_only=True, help_text="Shown once; only a keyed hash of it is kept.")

    class Meta:
        model = ApiKey
        fields = ("id", "name", "prefix", "key", "created_at")
        read_only_fields = ("id", "prefix", "created_at")


def checked(serializer_class: type[serializers.BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """The request's body in the shape of the serializer; raises DRF's `ValidationError`."""
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    validated: dict[str, Any] = serializer.validated_data
    return validated
