"""The doors of the chat: parse, one call, answer. Plain Django views, for they are the hot path."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import authenticate
from accounts.views import caller_of
from billing.entitlements import entitlements_for
from billing.money import dollars

from .catalogue import Model, catalogue
from .chat import Origin, Served, complete
from .replies import json_reply, tell_limits
from .serializers import parse_v2

LONGEST_CLIENT_ID = 128


@csrf_exempt
def chat_v2(request: HttpRequest) -> HttpResponse:
    origin = origin_of(request)
    served = complete(origin, parse_v2(request.body))
    response = json_reply(answer_v2(served))
    tell_limits(response, served.ticket.limits)
    return response


def origin_of(request: HttpRequest) -> Origin:
    """Who calls, by which door; the caller stays on the request for the middleware."""
    if request.method != "POST":
        raise MethodNotAllowed(request.method or "")
    caller = authenticate(request.headers.get("Authorization"))
    request.caller = caller  # type: ignore[attr-defined]
    request_id: str = request.request_id  # type: ignore[attr-defined]
    return Origin(caller, request.path_info, request_id, client_request_id(request))


def client_request_id(request: HttpRequest) -> str:
    """The client's own id, kept beside ours; what is not plain short text is not kept."""
    given = request.headers.get("X-Request-ID", "")
    return given if given.isascii() and given.isprintable() and len(given) <= LONGEST_CLIENT_ID else ""


def answer_v2(served: Served) -> dict[str, Any]:
    ticket, limits = served.ticket, served.ticket.limits
    budget_fallback = served.substitution == "budget"
    return {
        "id": ticket.request_id,
        "response": served.reply.text,
        "model": served.route.serves,
        "requested_model": served.chat.model,
        "provider": served.route.provider,
        "tokens": {"input": served.usage.tokens_input, "output": served.usage.tokens_output},
        "cost": dollars(served.usage.cost),
        "finish_reason": served.reply.finish_reason,
        "fallback": served.fallback_level > 0,
        "fallback_level": served.fallback_level,
        "substitution": served.substitution,
        "budget_fallback": budget_fallback,
        "budget_scope": ticket.budget_scope if budget_fallback else None,
        "quota": {
            "limit": limits.per_day,
            "remaining": limits.per_day - limits.quota_used,
            "resets_at": datetime.fromtimestamp(limits.resets_at, timezone.get_default_timezone()),
        },
    }


class ModelPriceSerializer(serializers.Serializer[None]):
    input = serializers.DecimalField(12, 6, help_text="USD per million tokens.")
    output = serializers.DecimalField(12, 6, help_text="USD per million tokens.")


class ModelSerializer(serializers.Serializer[None]):
    id = serializers.CharField()
    name = serializers.CharField()
    vendor = serializers.CharField()
    description = serializers.CharField()
    min_tier = serializers.CharField()
    available = serializers.BooleanField(help_text="Whether a provider is configured for it here.")
    locked = serializers.BooleanField(help_text="Whether your tier may not have it; a free model then answers.")
    context_window = serializers.IntegerField()
    max_output_tokens = serializers.IntegerField()
    images = serializers.BooleanField()
    price = ModelPriceSerializer(allow_null=True)


class ModelsSerializer(serializers.Serializer[None]):
    tier = serializers.CharField()
    models = ModelSerializer(many=True)


class ModelsView(APIView):
    @extend_schema(responses=ModelsSerializer, tags=["chat"])
    def get(self, request: Request) -> Response:
        entitlement = entitlements_for(caller_of(request).user_id)
        known = catalogue()
        body = [described(model, locked=entitlement.rank < model.min_rank) for model in known.models.values()]
        return Response({"tier": entitlement.tier, "models": body})


def described(model: Model, *, locked: bool) -> dict[str, Any]:
    price = model.list_price
    return {
        "id": model.name,
        "name": model.title,
        "vendor": model.vendor,
        "description": model.description,
        "min_tier": model.min_tier,
        "available": bool(model.routes),
        "locked": locked,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "images": model.image_tokens is not None,
        "price": {"input": dollars(price.input), "output": dollars(price.output)} if price else None,
    }
