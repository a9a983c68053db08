"""Payments for staff: seen, settled again, refunded; never edited."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts import audit
from accounts.admin import ReadOnlyAdmin
from accounts.models import User

from .. import refunds, settlement
from ..errors import GatewayError, NotRefundable, PaymentsNotConfigured
from ..models import PaymentTransaction
from ..settlement import Result
from .export import CsvExport, columns
from .labels import labelled

Kind = PaymentTransaction.Status
# Each asks Chargily or writes a credit note: more at once are a mistake.
MOST_AT_ONCE = 20

COLOURS = {
    Kind.PENDING: "info",
    Kind.PAID: "success",
    Kind.FAILED: "danger",
    Kind.CANCELED: "default",
    Kind.EXPIRED: "default",
    Kind.MISMATCH: "danger",
    Kind.REFUNDED: "warning",
}
RESULTS = {
    Result.APPLIED: gettext_lazy("paid; the days are given"),
    Result.CLOSED: gettext_lazy("closed without payment"),
    Result.MISMATCH: gettext_lazy("what was paid is not what we asked for"),
    Result.WAITING: gettext_lazy("not paid yet"),
    Result.UNCHANGED: gettext_lazy("nothing to change"),
}
# What was paid is what we asked for; the tier held stands in its way.
UNDECIDED_RESULT = gettext_lazy(
    "paid as asked, but it would not improve the tier held now; refund it, or change that tier and settle again"
)


class RefundForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy("Stays with the payment and stands on the credit note: the customer reads it."),
    )


@admin.register(PaymentTransaction)
class PaymentAdmin(CsvExport, ReadOnlyAdmin):
    list_display = ("id", "created_at", "user", "tier", "amount_dzd", "state", "failure_code", "paid_at")
    list_filter = ("status", "tier", "livemode", ("created_at", admin.DateFieldListFilter))
    date_hierarchy = "created_at"
    list_select_related = ("user", "tier")
    search_fields = ("=user__email", "=checkout_id")
    search_help_text = gettext_lazy("An e-mail address or a checkout's id, whole.")
    ordering = ("-created_at", "-id")
    list_per_page = 50
    show_full_result_count = False
    actions = ("settle_again", "refund", "export_csv")
    fieldsets = (
        (None, {"fields": ("user", "tier", "amount_dzd", "status", "failure_code", "created_at", "paid_at")}),
        (gettext_lazy("What was granted"), {"fields": ("days", "starts_at", "ends_at", "converted_from", "converted")}),
        (
            gettext_lazy("At Chargily"),
            {
                "fields": (
                    "checkout_id",
                    "payment_method",
                    "livemode",
                    "dzd_per_usd",
                    "language",
                    "checks",
                    "checked_at",
                    "next_check_at",
                )
            },
        ),
        (gettext_lazy("Refund"), {"fields": ("refunded_at", "refunded_by", "refund_reason", "taken_back")}),
    )
    csv_columns: ClassVar = columns(
        ("id", "pk"),
        "created_at",
        "paid_at",
        "refunded_at",
        "user_id",
        ("email", "user.email"),
        ("tier", "tier_id"),
        "amount_dzd",
        "dzd_per_usd",
        "status",
        "failure_code",
        "checkout_id",
        "payment_method",
        "livemode",
        "refund_reason",
    )

    @labelled(gettext_lazy("status"), COLOURS, ordering="status")
    def state(self, payment: PaymentTransaction) -> tuple[str, str]:
        return payment.status, payment.get_status_display()

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_paymenttransaction")

    @admin.action(description=gettext_lazy("Settle again: ask Chargily now"), permissions=["refund"])
    def settle_again(self, request: HttpRequest, queryset: QuerySet[PaymentTransaction]) -> None:
        for payment in few(queryset):
            settle_by_staff(self, request, payment)

    @admin.action(description=gettext_lazy("Refund: record that the money went back"), permissions=["refund"])
    def refund(self, request: HttpRequest, queryset: QuerySet[PaymentTransaction]) -> HttpResponse | None:
        payments = few(queryset)
        form = RefundForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            for payment in payments:
                refund_by_staff(self, request, payment, form.cleaned_data["reason"])
            return None
        effects = [(payment, effect_in_words(payment)) for payment in payments]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Refund"),
            "effects": effects,
            "possible": any(payment.status in refunds.REFUNDABLE for payment in payments),
            "form": form,
            "opts": self.model._meta,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/billing/refund.html", context)


def few(queryset: QuerySet[PaymentTransaction]) -> Sequence[PaymentTransaction]:
    return list(queryset.select_related("user", "tier").order_by("id")[:MOST_AT_ONCE])


def settle_by_staff(page: Any, request: HttpRequest, payment: PaymentTransaction) -> None:
    """Ask Chargily, say what came of it, and write down who asked."""
    assert isinstance(request.user, User)
    try:
        result = settlement.settle(payment, by_staff=True)
    except (GatewayError, PaymentsNotConfigured) as error:
        code = getattr(error, "code", "not configured")
        page.message_user(
            request, _("Payment %(id)s: Chargily could not be asked (%(code)s).") % {"id": payment.pk, "code": code},
            messages.ERROR,
        )  # fmt: skip
        return
    audit.record("payment.settle", by=request.user, subject=payment, details={"result": result}, request=request)
    level = messages.ERROR if result == Result.MISMATCH else messages.INFO
    undecided = result == Result.MISMATCH and payment.is_undecided
    said = UNDECIDED_RESULT if undecided else RESULTS[result]
    page.message_user(request, f"{payment.pk}: {said}", level)


def refund_by_staff(page: Any, request: HttpRequest, payment: PaymentTransaction, reason: str) -> None:
    assert isinstance(request.user, User)
    try:
        refunds.refund(payment, by=request.user, reason=reason, request=request)
    except NotRefundable:
        text = _("Payment %(id)s was not refunded: it is %(status)s.")
        facts = {"id": payment.pk, "status": payment.get_status_display()}
        page.message_user(request, text % facts, messages.ERROR)
        return
    page.message_user(request, _("Payment %(id)s is refunded.") % {"id": payment.pk}, messages.SUCCESS)


def effect_in_words(payment: PaymentTransaction) -> str:
    """What would happen to the tier, before it is done."""
    try:
        effect = refunds.effect_of(payment)
    except NotRefundable:
        return _("Cannot be refunded: it is %(status)s.") % {"status": payment.get_status_display()}
    if not effect.taken:
        return _("Nothing is taken back: the days are used up, or the tier has no end.")
    days = round(effect.taken.total_seconds() / 86_400, 1)
    if effect.ends_now or effect.ends_at is None:
        return _("The tier %(tier)s ends now (%(days)s days are taken back).") % {"tier": effect.tier, "days": days}
    end = date_format(localtime(effect.ends_at), "SHORT_DATETIME_FORMAT")
    facts = {"tier": effect.tier, "days": days, "end": end}
    return _("The tier %(tier)s ends on %(end)s (%(days)s days are taken back).") % facts
