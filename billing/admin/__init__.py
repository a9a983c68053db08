"""Billing's pages for staff: a file per subject."""

from .ledgers import InvoiceAdmin, WebhookEventAdmin
from .payments import PaymentAdmin
from .tiers import TierAdmin, UserTierAdmin

__all__ = ["InvoiceAdmin", "PaymentAdmin", "TierAdmin", "UserTierAdmin", "WebhookEventAdmin"]
