"""The doors of the OpenAI dialect."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import KeyOrLogin
from billing.money import dollars
from usage.admission import Ticket

from ..bodies import body_of
from ..catalogue import Model, catalogue, find
from ..chat import complete, stream
from ..doors import event_stream, origin_of, tell_what_was_ignored
from ..journey import Way
from ..replies import json_reply, tell_limits
from ..types import Chat
from .answers import chunks, completion
from .parse import parse_v1


@csrf_exempt
def chat_completions(request: HttpRequest) -> HttpResponseBase:
    origin = origin_of(request)
    chat = parse_v1(body_of(request))
    if chat.stream:
        streamed = stream(origin, chat)
        response: HttpResponseBase = event_stream(chunks(streamed, with_usage=chat.stream_usage), streamed)
        if streamed.is_waiting:
            # The headers name the route that is waited for. Who answers is in the first chunk: `iaf`.
            response.headers["X-IAF-Waiting"] = "true"
        return told(response, chat, streamed.journey.ticket, streamed.way)
    served = complete(origin, chat)
    response = json_reply(completion(served))
    # A stream's cost is not known when its headers leave; it is in the usage chunk.
    response.headers["X-IAF-Cost"] = format(dollars(served.usage.cost), "f")
    return told(response, chat, served.ticket, served.way)


def told(response: HttpResponseBase, chat: Chat, ticket: Ticket, way: Way) -> HttpResponseBase:
    """Who answered, and whether it is what was asked for: OpenAI's bodies have no place for it."""
    tell_limits(response, ticket.limits)
    response.headers["X-IAF-Provider"] = way.route.provider
    response.headers["X-IAF-Model"] = way.route.serves
    response.headers["X-IAF-Fallback"] = "true" if way.fallback_level else "false"
    response.headers["X-IAF-Fallback-Level"] = str(way.fallback_level)
    if way.substitution:
        response.headers["X-IAF-Substitution"] = way.substitution
    refused_there = way.route.connection.provider.drops_for(way.route.upstream)
    tell_what_was_ignored(response, [*chat.left_aside, *(name for name in chat.parameters if name in refused_there)])
    return response


class OpenAIModelSerializer(serializers.Serializer[None]):
    id = serializers.CharField()
    object = serializers.CharField(default="model")
    created = serializers.IntegerField()
    owned_by = serializers.CharField()
    context_window = serializers.IntegerField()


# Not a class: a field by the name of `data` would hide the serializer's own.
MODELS = inline_serializer(
    "OpenAIModels", {"object": serializers.CharField(default="list"), "data": OpenAIModelSerializer(many=True)}
)


class ModelsView(APIView):
    permission_classes = (KeyOrLogin,)

    @extend_schema(summary="OpenAI's list of models", operation_id="openai_models", responses=MODELS, tags=["OpenAI"])
    def get(self, request: Request) -> Response:
        return Response({"object": "list", "data": [described(model) for model in catalogue().models.values()]})


class ModelView(APIView):
    permission_classes = (KeyOrLogin,)

    @extend_schema(summary="One of them", operation_id="openai_model", responses=OpenAIModelSerializer, tags=["OpenAI"])
    def get(self, request: Request, name: str) -> Response:
        return Response(described(find(name)))


def described(model: Model) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.added_at,
        "owned_by": model.vendor,
        "context_window": model.context_window,
    }
