"""What needs two apps at once: who am I with which tier, where do I stand, is everything up."""

import logging
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.causes import causes
from accounts.permissions import KeyOrLogin
from accounts.serializers import MeSerializer
from accounts.views import caller_of
from billing.entitlements import entitlements_for
from llmrouter.replies import json_reply
from usage import standing
from usage.models import UsageLog

from .probes import postgres_trouble, redis_trouble

logger = logging.getLogger(__name__)


def health(request: HttpRequest) -> HttpResponse:
    """200 when PostgreSQL and Redis answer, 503 otherwise; says nothing else."""
    troubles = {"postgres": postgres_trouble(), "redis": redis_trouble()}
    for name, trouble in troubles.items():
        if trouble is not None:
            causes.error(logger, f"{name} is away", trouble)
    well = not any(troubles.values())
    body = {
        "status": "ok" if well else "unavailable",
        "checks": {name: "unavailable" if trouble else "ok" for name, trouble in troubles.items()},
    }
    response = json_reply(body, 200 if well else 503)
    # The cause is logged; Django would add a line for each question.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


class MeView(APIView):
    permission_classes = (KeyOrLogin,)

    @extend_schema(summary="Who you are", responses=MeSerializer, tags=["auth"])
    def get(self, request: Request) -> Response:
        caller = caller_of(request)
        tier = entitlements_for(caller.user_id).tier
        return Response({"id": caller.user_id, "email": caller.email, "tier": tier, "is_staff": caller.is_staff})


class UsageTodaySerializer(serializers.Serializer[None]):
    tier = serializers.CharField()
    messages_today = serializers.IntegerField()
    max_messages = serializers.IntegerField()
    tokens_today = serializers.IntegerField()
    cost_today = serializers.DecimalField(18, 9, help_text="Dollars.")
    percentage_used = serializers.DecimalField(6, 1)
    resets_at = serializers.DateTimeField()


class UsageTodayView(APIView):
    permission_classes = (KeyOrLogin,)

    @extend_schema(summary="Where you stand today", responses=UsageTodaySerializer, tags=["usage"])
    def get(self, request: Request) -> Response:
        caller = caller_of(request)
        entitlement = entitlements_for(caller.user_id)
        today = standing.today(caller.user_id, entitlement)
        return Response(
            {
                "tier": entitlement.tier,
                "messages_today": today.messages,
                "max_messages": today.max_messages,
                "tokens_today": today.tokens,
                "cost_today": today.cost_usd,
                "percentage_used": today.percentage_used,
                "resets_at": today.resets_at,
            }
        )


class UsageRowSerializer(serializers.ModelSerializer[UsageLog]):
    tokens = serializers.SerializerMethodField()
    cost = serializers.DecimalField(18, 9, source="cost_usd")
    charged = serializers.DecimalField(18, 9, source="payers_amount", help_text="Dollars of your day; 0 for a failure.")

    class Meta:
        model = UsageLog
        fields = (
            "request_id",
            "attempt",
            "created_at",
            "requested_model",
            "model",
            "provider",
            "tokens",
            "cost",
            "charged",
            "latency_ms",
            "endpoint",
            "streamed",
            "finish_reason",
            "error_flag",
            "error_message",
            "estimated",
            "fallback_level",
            "budget_fallback",
        )

    def get_tokens(self, row: UsageLog) -> dict[str, int]:
        return {"input": row.tokens_input, "output": row.tokens_output}


class NewestFirst(CursorPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    # By the index on (user_id, created_at); the id orders what one instant holds.
    ordering = ("-created_at", "-id")

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The framework checks the cursor's offset, but not that its position is an instant."""
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not is_instant(str(cursor.position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor


def is_instant(text: str) -> bool:
    """Whether PostgreSQL can compare a column of instants with it, also after a change of time zone."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return False
    return found is not None and is_aware(found) and 1 < found.year < 9999


class UsageView(ListAPIView[UsageLog]):
    """The caller's calls, newest first. Every attempt is a row: a call that fell back has several."""

    permission_classes = (KeyOrLogin,)
    serializer_class = UsageRowSerializer
    pagination_class = NewestFirst

    @extend_schema(summary="Your calls, newest first", tags=["usage"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[UsageLog]:
        return UsageLog.objects.filter(user_id=caller_of(self.request).user_id)
