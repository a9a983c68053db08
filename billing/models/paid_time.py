"""The time that each payment bought and that is not used up: where it lies, and what a day of it cost."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from .payments import PaymentTransaction


class PaidTime(models.Model):
    """One stretch of the tier held, explained by one payment. Time of the tier that no stretch covers is a gift.

    Stretches of one person do not overlap. A day costs `rate_dzd / rate_days`, kept as two whole numbers so that
    converting rounds once. After a conversion the rate is that of the payment for the new tier, and the stretch is
    as much longer or shorter: its value stays.
    """

    payment = models.OneToOneField(
        PaymentTransaction, models.CASCADE, primary_key=True, related_name="paid_time", verbose_name=_("payment")
    )
    tier = models.CharField(_("tier"), max_length=32)
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    rate_dzd = models.PositiveIntegerField(_("amount (DZD)"))
    rate_days = models.PositiveSmallIntegerField(_("days bought"))

    class Meta:
        db_table = "paid_time"
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(rate_dzd__gt=0, rate_days__gt=0), name="paid_time_rate_is_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(ends_at__gte=models.F("starts_at")), name="paid_time_ends_after_it_starts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id}: {self.tier} until {self.ends_at}"
