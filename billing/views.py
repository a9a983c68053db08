"""The payment API: a view parses, makes one call, answers."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import get_language_from_request
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.throttle import count_attempt
from accounts.views import caller_of

from . import checkout, offers, subscriptions, webhooks
from .errors import UnreadableEvent
from .models import PaymentTransaction
from .serializers import (
    BoughtSerializer,
    CheckoutSerializer,
    PaymentSerializer,
    PlanSerializer,
    PlansSerializer,
    QuoteSerializer,
    ReceivedSerializer,
    StatusSerializer,
)

# Of one person's looks at payments and quotes: a page that asks every second is served, a loop is not.
LOOK_LIMIT = "120/m"
DAY = timedelta(days=1)

SUBSCRIPTION = OpenApiExample(
    "on student",
    value={
        "tier": "student",
        "is_active": True,
        "subscribed_at": "2026-11-22T10:00:00+01:00",
        "expires_at": "2026-12-22T10:00:00+01:00",
        "days_remaining": 30,
        "auto_renew": True,
    },
    response_only=True,
)
FREE_OF_CHARGE = OpenApiExample(
    "on free",
    value={
        "tier": "free",
        "is_active": False,
        "subscribed_at": None,
        "expires_at": None,
        "days_remaining": None,
        "auto_renew": None,
    },
    response_only=True,
)
CHECKOUT = OpenApiExample(
    "student",
    value={
        "checkout_url": "https://pay.chargily.net/test/checkouts/01hj5n7cqpaf0mt2d0xx85tgz8/pay",
        "checkout_id": "01hj5n7cqpaf0mt2d0xx85tgz8",
        "amount": 1590,
        "currency": "dzd",
        "tier": "student",
    },
    response_only=True,
)


class SubscribeView(APIView):
    """Begin to buy 30 days of a tier. Asked again while the checkout is open, it gives the same one."""

    @extend_schema(request=None, responses=CheckoutSerializer, examples=[CHECKOUT], tags=["payment"])
    def post(self, request: Request, tier: str) -> Response:
        caller = caller_of(request)
        count_attempt(request._request, "subscribe", settings.PAYMENT_LIMIT, key=f"account:{caller.user_id}")
        payment = checkout.subscribe(
            user_id=caller.user_id, tier=tier, language=get_language_from_request(request._request)
        )
        return Response(
            {
                "checkout_url": payment.checkout_url,
                "checkout_id": payment.checkout_id,
                "amount": payment.amount_dzd,
                "currency": "dzd",
                "tier": payment.tier_id,
            }
        )


class WebhookView(APIView):
    """For Chargily: an event, signed over its raw body. 500 asks it to send the event again."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(
        request=OpenApiTypes.OBJECT,
        responses=ReceivedSerializer,
        parameters=[OpenApiParameter("signature", str, OpenApiParameter.HEADER, description="HMAC-SHA256, hex.")],
        tags=["payment"],
    )
    def post(self, request: Request) -> Response:
        raw = request._request
        if int(raw.META.get("CONTENT_LENGTH") or 0) > webhooks.MOST_BYTES:
            raise UnreadableEvent
        # The bytes as they came: parsed and written again they would have another signature.
        webhooks.receive(body=raw.body, signature=raw.headers.get("signature"))
        return Response({"received": True})


class PlansView(APIView):
    """The price list."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(responses=PlansSerializer, tags=["payment"])
    def get(self, request: Request) -> Response:
        found = offers.offers_for(None)
        available = {offer.tier.name: offer.can_be_bought for offer in found}
        plans = PlanSerializer([offer.tier for offer in found], many=True, context={"available": available})
        return Response({"plans": plans.data})


class QuoteView(APIView):
    """What buying a tier now would give: shown before paying, because what is left of another tier is converted."""

    @extend_schema(responses=QuoteSerializer, tags=["payment"])
    def get(self, request: Request, tier: str) -> Response:
        caller = caller_of(request)
        count_attempt(request._request, "quote", LOOK_LIMIT, key=f"account:{caller.user_id}")
        quote = offers.quote(user_id=caller.user_id, tier=tier)
        terms = quote.terms
        return Response(
            {
                "tier": terms.tier,
                "amount": quote.amount_dzd,
                "currency": "dzd",
                "days": quote.days,
                "starts_at": terms.starts_at,
                "ends_at": terms.ends_at,
                "converted_from": terms.converted_from,
                "days_left": in_days(terms.left),
                "days_converted": in_days(terms.converted),
                "replaces_endless": terms.replaces_endless,
            }
        )


class SubscriptionView(APIView):
    @extend_schema(responses=StatusSerializer, examples=[SUBSCRIPTION, FREE_OF_CHARGE], tags=["payment"])
    def get(self, request: Request) -> Response:
        return Response(asdict(subscriptions.status(user_id=caller_of(request).user_id)))


class CancelView(APIView):
    """No more reminders. Access stays to the end of what is paid."""

    @extend_schema(request=None, responses=StatusSerializer, examples=[SUBSCRIPTION], tags=["payment"])
    def post(self, request: Request) -> Response:
        return Response(asdict(subscriptions.cancel(user_id=caller_of(request).user_id)))


class PaymentView(APIView):
    """What became of a checkout of the caller's own: for the page that Chargily sends the customer back to.

    While it is open Chargily is asked, once in 5 s at most."""

    @extend_schema(responses=BoughtSerializer, tags=["payment"])
    def get(self, request: Request, checkout_id: str) -> Response:
        caller = caller_of(request)
        count_attempt(request._request, "look", LOOK_LIMIT, key=f"account:{caller.user_id}")
        payment = checkout.payment_of(user_id=caller.user_id, checkout_id=checkout_id)
        if payment is None:
            raise Http404
        checkout.look(payment)
        subscription = asdict(subscriptions.status(user_id=caller.user_id))
        return Response({**PaymentSerializer(payment).data, "subscription": subscription})


class NewestFirst(CursorPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    # By the index on (user, created_at, id).
    ordering = ("-created_at", "-id")


class PaymentsView(ListAPIView[PaymentTransaction]):
    """The caller's payments, newest first, whatever became of them."""

    serializer_class = PaymentSerializer
    pagination_class = NewestFirst

    @extend_schema(tags=["payment"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[PaymentTransaction]:
        return PaymentTransaction.objects.filter(user_id=caller_of(self.request).user_id).prefetch_related("invoices")


def in_days(time: timedelta) -> Decimal:
    return (Decimal(time // timedelta(seconds=1)) / 86_400).quantize(Decimal("0.01"))
