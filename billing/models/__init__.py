"""What you bought: one file per subject."""

from .invoices import Invoice, InvoiceIsFinal
from .letters import Letter
from .paid_time import PaidTime
from .payments import PaymentTransaction
from .tiers import FREE, Tier, UserTier
from .webhooks import WebhookEvent

__all__ = [
    "FREE",
    "Invoice",
    "InvoiceIsFinal",
    "Letter",
    "PaidTime",
    "PaymentTransaction",
    "Tier",
    "UserTier",
    "WebhookEvent",
]
