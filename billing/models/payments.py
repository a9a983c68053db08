"""Payments in dinars: one row per purchase begun, whatever became of it."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User

from .tiers import Tier

# How long Chargily keeps a checkout open, and the days that one payment buys.
OPEN_FOR = timedelta(minutes=30)
DAYS = 30
# A closed checkout is asked after for this long: its money may still arrive.
WATCHED_FOR = timedelta(hours=72)
# How the code of a payment begins whose money has no use beside the tier held.
UNDECIDED = "undecided: "


def rate_now() -> Decimal:
    return Decimal(settings.DZD_PER_USD)


class PaymentQuerySet(models.QuerySet["PaymentTransaction"]):
    def pending(self) -> Self:
        return self.filter(status=PaymentTransaction.Status.PENDING)

    def pending_since_before(self, instant: datetime) -> Self:
        return self.pending().filter(created_at__lt=instant)

    def applied(self) -> Self:
        """Those that were paid and applied, given back later or not."""
        paid = models.Q(status=PaymentTransaction.Status.PAID)
        return self.filter(paid | models.Q(status=PaymentTransaction.Status.REFUNDED, paid_at__isnull=False))

    def handed_out(self, *, user_id: int, tier: str, amount_dzd: int) -> "PaymentTransaction | None":
        """The one whose checkout is given to whoever asks again."""
        return self.pending().filter(user_id=user_id, tier_id=tier, amount_dzd=amount_dzd, handed_out=True).first()

    def claim_look(self, payment: "PaymentTransaction", *, at_most_every: timedelta) -> bool:
        """Whether the caller is the one to ask Chargily now. Of many pages that ask at once, one may."""
        now = timezone.now()
        long_ago = models.Q(checked_at=None) | models.Q(checked_at__lte=now - at_most_every)
        return bool(self.filter(long_ago, pk=payment.pk).update(checked_at=now))

    def claim_check(self, payment: "PaymentTransaction", *, next_check_at: datetime | None) -> bool:
        """The same for the task: whoever moves the date of the next check does this one, and a crash loses only it."""
        return bool(
            self.filter(pk=payment.pk, next_check_at=payment.next_check_at).update(
                next_check_at=next_check_at, checked_at=timezone.now(), checks=models.F("checks") + 1
            )
        )

    def due(self, now: datetime) -> Self:
        """To be asked after now, those waiting longest first."""
        return self.filter(next_check_at__lte=now, status__in=PaymentTransaction.OPEN_TO_MONEY).order_by(
            "next_check_at", "id"
        )


class PaymentTransaction(models.Model):
    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        PAID = "paid", _("paid")
        FAILED = "failed", _("failed")
        CANCELED = "canceled", _("canceled")
        EXPIRED = "expired", _("expired")
        MISMATCH = "mismatch", _("mismatch")
        REFUNDED = "refunded", _("refunded")

    # Money that arrives late wins over these, never over what was paid or given back already.
    OPEN_TO_MONEY: ClassVar = (Status.PENDING, Status.EXPIRED, Status.FAILED, Status.CANCELED)

    user = models.ForeignKey(User, models.PROTECT, related_name="payments", verbose_name=_("user"))
    tier = models.ForeignKey(Tier, models.PROTECT, db_column="tier", related_name="+", verbose_name=_("tier"))
    amount_dzd = models.PositiveIntegerField(_("amount (DZD)"), help_text=_("Whole dinars, tax included."))
    dzd_per_usd = models.DecimalField(
        _("dinars per dollar"), max_digits=12, decimal_places=4, default=rate_now, db_default=Decimal(230)
    )
    days = models.PositiveSmallIntegerField(_("days bought"), default=DAYS, db_default=DAYS)
    status = models.CharField(
        _("status"), max_length=16, choices=Status, default=Status.PENDING, db_default=Status.PENDING
    )
    failure_code = models.CharField(
        _("why"), max_length=64, default="", db_default="", help_text=_("Our code for what went wrong.")
    )
    language = models.CharField(_("language"), max_length=2, default="fr", db_default="fr")
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_default=Now())
    paid_at = models.DateTimeField(_("paid"), null=True, blank=True)

    # The checkout at Chargily
    checkout_id = models.CharField(_("checkout"), max_length=64, unique=True, null=True, blank=True)
    checkout_url = models.CharField(_("checkout's page"), max_length=500, default="", db_default="")
    livemode = models.BooleanField(_("real money"), default=False, db_default=False)
    payment_method = models.CharField(_("paid with"), max_length=32, default="", db_default="")
    handed_out = models.BooleanField(
        _("handed out again"),
        default=True,
        db_default=False,
        help_text=_("While it is pending, whoever asks for this tier at this price is sent to this checkout."),
    )

    # What the customer saw before paying: the tier held that this purchase ends or converts. Money that arrives
    # when another tier is held was not meant for that.
    gives_way = models.CharField(_("converted from"), max_length=32, default="", db_default="", blank=True)
    gives_way_endless = models.BooleanField(_("without an end"), default=False, db_default=False)

    # When it is asked after
    checks = models.PositiveIntegerField(_("times asked after"), default=0, db_default=0)
    checked_at = models.DateTimeField(_("last asked after"), null=True, blank=True)
    next_check_at = models.DateTimeField(_("asked after next"), null=True, blank=True, db_default=Now())

    # What was granted: the time bought, and what was left of another tier turned into this one
    starts_at = models.DateTimeField(_("from"), null=True, blank=True)
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)
    converted_from = models.CharField(_("converted from"), max_length=32, default="", db_default="")
    converted = models.DurationField(
        _("converted"), null=True, blank=True, help_text=_("Time of this tier given for what was left of another one.")
    )

    refunded_at = models.DateTimeField(_("refunded"), null=True, blank=True)
    refunded_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("refunded by")
    )
    refund_reason = models.CharField(_("reason of the refund"), max_length=500, default="", db_default="")
    taken_back = models.DurationField(
        _("taken back"), null=True, blank=True, help_text=_("Time of the tier held that the refund took back.")
    )

    objects: ClassVar = PaymentQuerySet.as_manager()

    class Meta:
        db_table = "payment_transactions"
        ordering: ClassVar = ["-created_at", "-id"]
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints: ClassVar = [
            # Two clicks at once open one checkout.
            models.UniqueConstraint(
                fields=["user", "tier", "amount_dzd"],
                condition=models.Q(status="pending", handed_out=True),
                name="payment_transactions_one_open_checkout",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=["pending", "paid", "failed", "canceled", "expired", "mismatch", "refunded"]
                ),
                name="payment_transactions_status_is_known",
            ),
            models.CheckConstraint(condition=models.Q(dzd_per_usd__gt=0), name="payment_transactions_rate_is_positive"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "-created_at", "-id"], name="payments_user_time"),
            models.Index(fields=["status", "-created_at"], name="payments_status_time"),
            models.Index(Coalesce("paid_at", "created_at"), name="payments_applied"),
            models.Index(fields=["refunded_at"], name="payments_refunded"),
            models.Index(
                fields=["next_check_at"], condition=models.Q(next_check_at__isnull=False), name="payments_next_check"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.tier_id}, {self.amount_dzd} DZD, {self.status}"

    @property
    def is_undecided(self) -> bool:
        """Whether the money is right, and only a person can say what it gives beside the tier held."""
        return self.status == self.Status.MISMATCH and self.failure_code.startswith(UNDECIDED)

    @property
    def closes_at(self) -> datetime:
        """When Chargily closes its checkout by itself."""
        return self.created_at + OPEN_FOR
