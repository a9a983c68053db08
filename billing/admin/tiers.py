from django.contrib import admin

from accounts.staff_forms import EditableAdmin

from ..models import Tier, UserTier


@admin.register(Tier)
class TierAdmin(EditableAdmin):
    list_display = (
        "name",
        "price_dzd",
        "sold_online",
        "messages_per_day",
        "requests_per_minute",
        "groq_percent",
        "user_daily_budget_usd",
    )
    ordering = ("rank",)


@admin.register(UserTier)
class UserTierAdmin(EditableAdmin):
    list_display = ("user", "tier", "subscribed_at", "expires_at", "auto_renew")
    list_filter = ("tier", "auto_renew")
    list_select_related = ("user", "tier")
    search_fields = ("user__email",)
    autocomplete_fields = ("user",)
