"""What Chargily told us, and the invoices: read-only."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.admin import ReadOnlyAdmin

from ..models import Invoice, WebhookEvent
from .export import CsvExport, columns
from .labels import labelled
from .payments import MOST_AT_ONCE, settle_by_staff

Outcome = WebhookEvent.Outcome
COLOURS = {
    Outcome.APPLIED: "success",
    Outcome.WAITING: "info",
    Outcome.MISMATCH: "danger",
    Outcome.FAILED: "danger",
    Outcome.FOREIGN: "warning",
}


@admin.register(WebhookEvent)
class WebhookEventAdmin(CsvExport, ReadOnlyAdmin):
    list_display = ("received_at", "type", "came_to", "checkout_id", "payment", "deliveries", "processed_at")
    list_filter = ("outcome", "type", ("received_at", admin.DateFieldListFilter))
    date_hierarchy = "received_at"
    list_select_related = ("payment",)
    search_fields = ("=event_id", "=checkout_id")
    search_help_text = _("An event's or a checkout's id, whole.")
    ordering = ("-received_at", "-id")
    list_per_page = 50
    show_full_result_count = False
    actions = ("settle_again", "export_csv")
    csv_columns: ClassVar = columns(
        "event_id",
        "received_at",
        "type",
        "checkout_id",
        ("payment", "payment_id"),
        "deliveries",
        "outcome",
        "processed_at",
    )

    @labelled(_("outcome"), COLOURS, ordering="outcome")
    def came_to(self, event: WebhookEvent) -> tuple[str, str]:
        return event.outcome, event.get_outcome_display()

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_paymenttransaction")

    @admin.action(description=_("Settle again: ask Chargily now"), permissions=["settle"])
    def settle_again(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> None:
        events = queryset.filter(payment__isnull=False).select_related("payment")[:MOST_AT_ONCE]
        for payment in {event.payment for event in events if event.payment is not None}:
            settle_by_staff(self, request, payment)


@admin.register(Invoice)
class InvoiceAdmin(CsvExport, ReadOnlyAdmin):
    list_display = (
        "reference",
        "kind",
        "issued_at",
        "buyer_email",
        "tier",
        "amount_ht",
        "amount_tva",
        "amount_ttc",
        "file",
    )
    list_filter = ("kind", "year", ("issued_at", admin.DateFieldListFilter))
    date_hierarchy = "issued_at"
    search_fields = ("=payment__user__email", "=payment__checkout_id")
    search_help_text = _("An e-mail address or a checkout's id, whole.")
    ordering = ("-issued_at", "-id")
    list_per_page = 50
    show_full_result_count = False
    actions = ("export_csv",)
    csv_columns: ClassVar = {
        **columns("reference", "kind", "issued_at"),
        "buyer_id": lambda row: row.buyer.get("id"),
        "buyer_email": lambda row: row.buyer.get("email"),
        **columns(
            "tier", "days", "amount_ht", "tva_percent", "amount_tva", "amount_ttc", ("payment", "payment_id"), "reason"
        ),
    }

    @admin.display(description=_("buyer"))
    def buyer_email(self, invoice: Invoice) -> Any:
        return invoice.buyer.get("email")

    @admin.display(description=_("page"))
    def file(self, invoice: Invoice) -> str:
        return format_html('<a href="/account/invoices/{0}">{0}</a>', invoice.reference)
