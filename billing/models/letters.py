"""Mails that are owed to people: one row each, so that none is lost and none is written twice."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User

from .invoices import Invoice
from .payments import PaymentTransaction


class LetterQuerySet(models.QuerySet["Letter"]):
    def due(self, now: datetime) -> Self:
        return self.filter(sent_at=None, dropped_at=None, next_try_at__lte=now).order_by("next_try_at", "id")


class Letter(models.Model):
    class Kind(models.TextChoices):
        RECEIPT = "receipt", _("receipt")
        REMINDER_7 = "reminder_7", _("reminder, 7 days")
        REMINDER_3 = "reminder_3", _("reminder, 3 days")
        REMINDER_1 = "reminder_1", _("reminder, 1 day")
        MISMATCH = "mismatch", _("payment looked at")
        RETURNED = "returned", _("payment given back")

    user = models.ForeignKey(User, models.CASCADE, related_name="letters", verbose_name=_("user"))
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    invoice = models.ForeignKey(
        Invoice, models.CASCADE, null=True, blank=True, related_name="letters", verbose_name=_("invoice")
    )
    payment = models.ForeignKey(
        PaymentTransaction, models.CASCADE, null=True, blank=True, related_name="letters", verbose_name=_("payment")
    )
    ends_at = models.DateTimeField(_("end it reminds of"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    # By the clock that asks what is due: the database's may be a moment ahead of it.
    next_try_at = models.DateTimeField(_("next try"), default=timezone.now, db_default=Now())
    tries = models.PositiveSmallIntegerField(_("tries"), default=0, db_default=0)
    trouble = models.CharField(_("trouble"), max_length=64, default="", db_default="", blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    dropped_at = models.DateTimeField(_("dropped"), null=True, blank=True)

    objects: ClassVar = LetterQuerySet.as_manager()

    class Meta:
        db_table = "letters"
        ordering: ClassVar = ["-id"]
        verbose_name = _("mail")
        verbose_name_plural = _("mails")
        constraints: ClassVar = [
            # Two beats at once, or one that runs again: a letter is owed once.
            models.UniqueConstraint(
                fields=["user", "kind", "ends_at"],
                condition=models.Q(ends_at__isnull=False),
                name="letters_one_reminder_per_end",
            ),
            models.UniqueConstraint(
                fields=["invoice"], condition=models.Q(invoice__isnull=False), name="letters_one_receipt_per_invoice"
            ),
            # A payment becomes a case for a person once, and the case has one outcome.
            models.UniqueConstraint(
                fields=["payment", "kind"],
                condition=models.Q(payment__isnull=False),
                name="letters_one_of_a_kind_per_payment",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="receipt", invoice__isnull=False, payment=None, ends_at=None)
                | models.Q(kind__in=["mismatch", "returned"], payment__isnull=False, invoice=None, ends_at=None)
                | (
                    models.Q(kind__startswith="reminder_") & models.Q(invoice=None, payment=None, ends_at__isnull=False)
                ),
                name="letters_about_one_thing",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_try_at"], condition=models.Q(sent_at=None, dropped_at=None), name="letters_still_owed"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.user_id}"
