"""What Chargily told us: every verified event, once, without the merchant's own data."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import PaymentTransaction


class WebhookEvent(models.Model):
    class Outcome(models.TextChoices):
        RECEIVED = "received", _("received")
        APPLIED = "applied", _("applied")
        UNCHANGED = "unchanged", _("nothing to change")
        WAITING = "waiting", _("not paid yet")
        MISMATCH = "mismatch", _("mismatch")
        FOREIGN = "foreign", _("not our checkout")
        IGNORED = "ignored", _("ignored")
        FAILED = "failed", _("failed")

    event_id = models.CharField(_("event"), max_length=128, unique=True)
    type = models.CharField(_("type"), max_length=64, default="", db_default="")
    checkout_id = models.CharField(_("checkout"), max_length=64, default="", db_default="", db_index=True)
    livemode = models.BooleanField(_("real money"), null=True)
    payload = models.JSONField(_("content"), help_text=_("Only the fields that we know: never the merchant's account."))
    payment = models.ForeignKey(
        PaymentTransaction, models.PROTECT, null=True, related_name="events", verbose_name=_("payment")
    )
    deliveries = models.PositiveIntegerField(_("times received"), default=1, db_default=1)
    received_at = models.DateTimeField(_("received"), default=timezone.now, db_default=Now(), db_index=True)
    processed_at = models.DateTimeField(_("processed"), null=True)
    outcome = models.CharField(
        _("outcome"), max_length=16, choices=Outcome, default=Outcome.RECEIVED, db_default=Outcome.RECEIVED
    )
    traceback = models.TextField(_("traceback"), default="", db_default="")

    class Meta:
        db_table = "payment_webhook_events"
        ordering: ClassVar = ["-received_at", "-id"]
        verbose_name = _("payment event")
        verbose_name_plural = _("payment events")

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"
