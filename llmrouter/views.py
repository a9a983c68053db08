"""The doors of the chat: parse, one call, answer. Plain Django views, for they are the hot path."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import KeyOrLogin
from accounts.views import caller_of
from billing.entitlements import entitlements_for
from billing.money import dollars

from .bodies import body_of
from .catalogue import Model, catalogue
from .chat import Streamed, complete, stream
from .doors import event_stream, origin_of, tell_what_was_ignored
from .journey import Served
from .replies import json_reply, tell_limits
from .serializers import parse_v2
from .v1.answers import DONE, ChunkWriter, event


@csrf_exempt
def chat_v2(request: HttpRequest) -> HttpResponseBase:
    origin = origin_of(request)
    chat = parse_v2(body_of(request))
    if chat.stream:
        streamed = stream(origin, chat)
        response: HttpResponseBase = event_stream(chunks_v2(streamed), streamed)
        if streamed.is_waiting:
            response.headers["X-IAF-Waiting"] = "true"
        tell_limits(response, streamed.journey.ticket.limits)
        tell_what_was_ignored(response, chat.left_aside)
        return response
    served = complete(origin, chat)
    response = json_reply(answer_v2(served))
    tell_limits(response, served.ticket.limits)
    tell_what_was_ignored(response, chat.left_aside)
    return response


def answer_v2(served: Served) -> dict[str, Any]:
    limits, way = served.ticket.limits, served.way
    return {
        "id": served.ticket.request_id,
        "response": served.reply.text,
        "model": way.route.serves,
        "requested_model": served.chat.model,
        "provider": way.route.provider,
        "tokens": {"input": served.usage.tokens_input, "output": served.usage.tokens_output},
        "cost": dollars(served.usage.cost),
        "finish_reason": served.reply.finish_reason,
        "fallback": way.fallback_level > 0,
        "fallback_level": way.fallback_level,
        "substitution": way.substitution,
        "budget_fallback": way.substitution == "budget",
        "budget_scope": way.budget_scope,
        "quota": {
            "limit": limits.per_day,
            "remaining": limits.per_day - limits.quota_used,
            "resets_at": datetime.fromtimestamp(limits.resets_at, timezone.get_default_timezone()),
        },
    }


def chunks_v2(streamed: Streamed) -> Iterator[bytes]:
    """The pieces as OpenAI's chunks; before the end, the whole answer's account (and its text, joined)."""
    said: list[str] = []
    refused: list[str] = []
    writer = ChunkWriter(streamed)
    for pieces in streamed:
        for delta in (piece.delta for piece in pieces if piece.delta):
            if content := delta.get("content"):
                said.append(content)
            elif refusal := delta.get("refusal"):
                refused.append(refusal)
        yield writer.write(pieces)
    if streamed.served is not None:
        yield event({**answer_v2(streamed.served), "response": "".join(said or refused), "choices": []})
    yield DONE


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
    permission_classes = (KeyOrLogin,)

    @extend_schema(summary="The models, and which your tier may have", responses=ModelsSerializer, tags=["chat"])
    def get(self, request: Request) -> Response:
        entitlement = entitlements_for(caller_of(request).user_id)
        known = catalogue()
        body = [
            described(model, locked=not model.open_to(entitlement.tier, entitlement.rank))
            for model in known.models.values()
        ]
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
