"""Billing's pages for staff: a file per subject."""

from .ledgers import InvoiceAdmin, WebhookEventAdmin
from .letters import LetterAdmin
from .payments import PaymentAdmin
from .tiers import TierAdmin, UserTierAdmin

__all__ = ["InvoiceAdmin", "LetterAdmin", "PaymentAdmin", "TierAdmin", "UserTierAdmin", "WebhookEventAdmin"]
