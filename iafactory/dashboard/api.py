"""The staff's API: JSON for a staff JWT, or for the session of the admin."""

from datetime import timedelta
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import SoftBan, User
from accounts.serializers import checked
from accounts.views import caller_of
from iafactory.alerts import rules
from usage import bans
from usage.clock import today as this_day
from usage.reports import heavy_users, history
from usage.reports.heavy_users import UserFigures
from usage.reports.history import Spend
from usage.reports.query import one_look

from .figures import Economics, budget_now, economics
from .staff import StaffOnly, authentication

MOST_DAYS = 366


class MoneyField(serializers.DecimalField):
    """Dollars, with as many places as we count."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=18, decimal_places=9, **options)


class BudgetSerializer(serializers.Serializer[None]):
    spent_usd = MoneyField()
    held_usd = MoneyField()
    limit_usd = MoneyField()
    remaining_usd = MoneyField(help_text="The limit less what is spent; what is held is still in it.")
    percent_used = serializers.DecimalField(9, 1)
    alert_level = serializers.ChoiceField(["ok", "warning", "critical"])


class HeavyUserSerializer(serializers.Serializer[None]):
    user_id = serializers.IntegerField()
    email = serializers.CharField(help_text="Empty where the account has been deleted.")
    tier = serializers.CharField()
    messages = serializers.IntegerField()
    cost_usd = MoneyField()


class UsersSerializer(serializers.Serializer[None]):
    active_today = serializers.IntegerField()
    avg_cost_per_user = MoneyField()
    abusive_count = serializers.IntegerField()
    abusive_users = HeavyUserSerializer(many=True)


class ProviderSerializer(serializers.Serializer[None]):
    provider = serializers.CharField()
    requests_count = serializers.IntegerField()
    tokens_total = serializers.IntegerField()
    cost_total = MoneyField()
    avg_latency_ms = serializers.IntegerField()
    error_rate = serializers.DecimalField(5, 1, help_text="Percent of its calls.")


class EconomicsSerializer(serializers.Serializer[None]):
    revenue_usd = serializers.DecimalField(18, 2)
    costs_usd = MoneyField()
    profit_usd = MoneyField()
    margin_percent = serializers.DecimalField(18, 1, allow_null=True, help_text="Null where nothing was sold.")


class AlertSerializer(serializers.Serializer[None]):
    level = serializers.ChoiceField(["warning", "critical"])
    message = serializers.CharField()
    action = serializers.CharField()
    timestamp = serializers.DateTimeField()


class DashboardSerializer(serializers.Serializer[None]):
    date = serializers.DateField()
    budget = BudgetSerializer()
    users = UsersSerializer()
    providers = ProviderSerializer(many=True)
    economics = EconomicsSerializer()
    alerts = AlertSerializer(many=True)


class AbusiveSerializer(serializers.Serializer[None]):
    date = serializers.DateField()
    messages_over = serializers.IntegerField(help_text="Listed are those with more messages today than this.")
    count = serializers.IntegerField()
    users = HeavyUserSerializer(many=True)


class DayCostSerializer(serializers.Serializer[None]):
    date = serializers.DateField()
    requests_count = serializers.IntegerField()
    tokens_total = serializers.IntegerField()
    cost_usd = MoneyField()


class NamedCostSerializer(serializers.Serializer[None]):
    name = serializers.CharField()
    requests_count = serializers.IntegerField()
    tokens_total = serializers.IntegerField()
    cost_usd = MoneyField()


class BreakdownSerializer(serializers.Serializer[None]):
    days = serializers.IntegerField()
    first = serializers.DateField()
    last = serializers.DateField()
    total_usd = MoneyField()
    by_day = DayCostSerializer(many=True)
    by_provider = NamedCostSerializer(many=True)
    by_model = NamedCostSerializer(many=True)
    by_tier = NamedCostSerializer(many=True)
    economics = EconomicsSerializer()


class DaysSerializer(serializers.Serializer[None]):
    days = serializers.IntegerField(min_value=1, max_value=MOST_DAYS, default=7)


class NewBanSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=200)
    hours = serializers.IntegerField(min_value=1, max_value=24 * 365, default=24)


class BanSerializer(serializers.ModelSerializer[SoftBan]):
    email = serializers.CharField(source="user.email")
    banned_by = serializers.CharField(source="banned_by.email", allow_null=True, default=None)

    class Meta:
        model = SoftBan
        fields = ("user_id", "email", "reason", "banned_by", "created_at", "until")


class StaffView(APIView):
    authentication_classes = authentication
    permission_classes = (StaffOnly,)


class DashboardApi(StaffView):
    """Is the money safe, who abuses, which provider is ill, does the business earn: today, in Algiers."""

    @extend_schema(responses=DashboardSerializer, tags=["admin"], operation_id="admin_dashboard")
    def get(self, request: Request) -> Response:
        with one_look():
            return Response(dashboard())


class AbusiveUsersView(StaffView):
    """Who sent more than 300 messages today."""

    @extend_schema(responses=AbusiveSerializer, tags=["admin"])
    def get(self, request: Request) -> Response:
        found = heavy_users.abusive_users(this_day())
        return Response(
            {
                "date": this_day(),
                "messages_over": heavy_users.ABUSIVE_MESSAGES,
                "count": len(found),
                "users": [heavy_user(user) for user in found],
            }
        )


class CostsBreakdownView(StaffView):
    """What the last days cost, today among them: by day, provider, model and tier, and what came in."""

    @extend_schema(
        responses=BreakdownSerializer,
        parameters=[OpenApiParameter("days", int, description=f"1 to {MOST_DAYS}, today included; 7 if not said.")],
        tags=["admin"],
    )
    def get(self, request: Request) -> Response:
        asked = DaysSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        days = asked.validated_data["days"]
        return Response(breakdown(days))


class SoftBanView(StaffView):
    """A ban from chatting: a day unless said otherwise. Both are kept in the record of what staff do."""

    @extend_schema(request=NewBanSerializer, responses=BanSerializer, tags=["admin"])
    def post(self, request: Request, user_id: int) -> Response:
        wanted = checked(NewBanSerializer, request)
        ban = bans.soft_ban(
            user=user_of(user_id),
            reason=wanted["reason"],
            by=member_of_staff(request),
            length=timedelta(hours=wanted["hours"]),
        )
        return Response(BanSerializer(ban).data)

    @extend_schema(responses={204: None}, tags=["admin"])
    def delete(self, request: Request, user_id: int) -> Response:
        if not bans.lift_ban(user=user_of(user_id), by=member_of_staff(request)):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def member_of_staff(request: Request) -> User:
    return request.user if isinstance(request.user, User) else user_of(caller_of(request).user_id)


def user_of(user_id: int) -> User:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise Http404
    return user


def dashboard() -> dict[str, Any]:
    budget = budget_now()
    totals = history.totals(budget.day, budget.day)
    abusers = heavy_users.abusive_users(budget.day)
    return {
        "date": budget.day,
        "budget": {
            "spent_usd": budget.spent,
            "held_usd": budget.held,
            "limit_usd": budget.limit,
            "remaining_usd": budget.remaining,
            "percent_used": budget.percent,
            "alert_level": budget.level,
        },
        "users": {
            "active_today": totals.users,
            "avg_cost_per_user": totals.cost_per_user,
            "abusive_count": len(abusers),
            "abusive_users": [heavy_user(user) for user in abusers],
        },
        "providers": [
            {
                "provider": row.provider,
                "requests_count": row.calls,
                "tokens_total": row.tokens,
                "cost_total": row.cost_usd,
                "avg_latency_ms": row.latency_avg_ms,
                "error_rate": row.error_rate,
            }
            for row in history.providers(budget.day, budget.day)
        ],
        "economics": economics_json(economics(budget.day, budget.day, costs=totals.cost_usd)),
        "alerts": [alert.as_json() for alert in rules.standing()],
    }


def breakdown(days: int) -> dict[str, Any]:
    last = this_day()
    first = last - timedelta(days=days - 1)
    per_day = history.by_day(first, last)
    calendar = [first + timedelta(days=n) for n in range(days)]
    found = economics(first, last)
    return {
        "days": days,
        "first": first,
        "last": last,
        "total_usd": found.costs,
        "by_day": [{"date": day, **costs_json(per_day.get(day, Spend()))} for day in calendar],
        "by_provider": named(history.by_provider(first, last)),
        "by_model": named(history.by_model(first, last)),
        "by_tier": named(history.by_tier(first, last)),
        "economics": economics_json(found),
    }


def named(found: dict[str, Spend]) -> list[dict[str, Any]]:
    return [{"name": name, **costs_json(spend)} for name, spend in found.items()]


def costs_json(spend: Spend) -> dict[str, Any]:
    return {"requests_count": spend.calls, "tokens_total": spend.tokens, "cost_usd": spend.cost_usd}


def economics_json(found: Economics) -> dict[str, Any]:
    return {
        "revenue_usd": found.revenue,
        "costs_usd": found.costs,
        "profit_usd": found.profit,
        "margin_percent": found.margin_percent,
    }


def heavy_user(user: UserFigures) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "email": user.email,
        "tier": user.tier,
        "messages": user.messages,
        "cost_usd": user.cost_usd,
    }
