"""The tiers on sale, and who is on which until when."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from accounts.announcing import AnnouncingQuerySet, announces
from accounts.models import User

FREE = "free"
# Chargily takes no less; and a price with a digit too many is a mistake.
LEAST_DZD, MOST_DZD = 50, 1_000_000
# Redis counts nano-dollars in doubles, which are exact up to some nine million dollars.
MOST_DAILY_USD = Decimal(100_000)
LONGEST = timedelta(days=3660)

Faults = dict[str, list[Any]]


@announces(None)
class Tier(models.Model):
    name = models.SlugField(_("name"), max_length=32, primary_key=True)
    price_dzd = models.PositiveIntegerField(
        _("price per 30 days (DZD)"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(MOST_DZD)],
        help_text=_("Whole dinars. Empty: on quote."),
    )
    sold_online = models.BooleanField(_("sold online"), default=False, db_default=False)
    messages_per_day = models.PositiveIntegerField(_("messages per day"), validators=[MinValueValidator(1)])
    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), validators=[MinValueValidator(1), MaxValueValidator(10_000)]
    )
    groq_percent = models.PositiveSmallIntegerField(
        _("share served by Groq (%)"),
        default=100,
        db_default=100,
        validators=[MaxValueValidator(100)],
        help_text=_("The rest goes to OpenRouter. Exact over any 100 requests of one user."),
    )
    user_daily_budget_usd = models.DecimalField(
        _("most one user may cost a day (USD)"),
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(MOST_DAILY_USD)],
        help_text=_("Empty: no limit but the platform's own."),
    )
    rank = models.PositiveSmallIntegerField(
        _("rank"), default=0, db_default=0, help_text=_("A higher tier may use every model of a lower one.")
    )

    objects: ClassVar[models.Manager["Tier"]] = AnnouncingQuerySet["Tier"].as_manager()

    class Meta:
        db_table = "tiers"
        ordering: ClassVar = ["rank"]
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(groq_percent__lte=100), name="tiers_groq_percent_is_a_percentage"
            ),
            models.CheckConstraint(
                condition=models.Q(user_daily_budget_usd=None) | models.Q(user_daily_budget_usd__gte=0),
                name="tiers_daily_budget_is_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """What would break selling, converting or serving this tier."""
        super().clean()
        faults = self._faults_of_free() if self.name == FREE else self._faults_of_paid()
        if faults:
            raise ValidationError(faults)

    def _faults_of_free(self) -> Faults:
        faults: Faults = {}
        if self.price_dzd != 0:
            faults["price_dzd"] = [_("The free tier costs 0.")]
        if self.sold_online:
            faults["sold_online"] = [_("The free tier is not sold.")]
        if self.user_daily_budget_usd is None:
            faults["user_daily_budget_usd"] = [_("The free tier needs a limit: anybody can sign up.")]
        if Tier.objects.exclude(name=FREE).filter(rank__lte=self.rank or 0).exists():
            faults["rank"] = [_("The free tier must have the lowest rank.")]
        return faults

    def _faults_of_paid(self) -> Faults:
        faults: Faults = {}
        if fault := self._fault_of_the_price():
            faults["price_dzd"] = [fault]
        unlimited = self.user_daily_budget_usd is None or self.user_daily_budget_usd > 0
        if self.sold_online and not unlimited and (self.groq_percent or 0) < 100:
            faults["user_daily_budget_usd"] = [_("With 0, those who pay for this tier never get what it promises.")]
        if Tier.objects.filter(name=FREE, rank__gte=self.rank or 0).exists():
            faults["rank"] = [_("Only the free tier has the lowest rank.")]
        return faults

    def _fault_of_the_price(self) -> Any:
        if self.price_dzd is not None and self.price_dzd < LEAST_DZD:
            return _("A price is at least %(least)s DZD; leave it empty for a tier on quote.") % {"least": LEAST_DZD}
        if self.price_dzd is not None:
            return None
        if self.sold_online:
            return _("A tier that is sold online needs a price.")
        had_a_price = Tier.objects.filter(name=self.name, price_dzd__gt=0).exists()
        in_force = models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now())
        if had_a_price and UserTier.objects.filter(in_force, tier_id=self.name).exists():
            return _("Customers hold this tier: what is left of their time is converted by its price.")
        return None


@announces("user_id")
class UserTier(models.Model):
    """The tier somebody is on. No row, or an end in the past, means `free`; no end on a paid one is staff's gift."""

    user = models.OneToOneField(User, models.CASCADE, related_name="tier_held", verbose_name=_("user"))
    tier: models.ForeignKey[Tier, Tier] = models.ForeignKey(
        Tier,
        models.PROTECT,
        db_column="tier",
        db_default=FREE,  # type: ignore[arg-type]
        verbose_name=_("tier"),
    )
    subscribed_at = models.DateTimeField(_("subscribed"), null=True, blank=True, db_default=Now())
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True, db_index=True)
    auto_renew = models.BooleanField(_("reminded to renew"), default=True, db_default=True)

    objects: ClassVar[models.Manager["UserTier"]] = AnnouncingQuerySet["UserTier"].as_manager()

    class Meta:
        db_table = "user_tiers"
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")

    def __str__(self) -> str:
        return f"{self.user_id}: {self.tier_id}"

    def in_force(self, at: datetime) -> bool:
        return self.expires_at is None or self.expires_at > at

    def clean(self) -> None:
        """What staff may not enter by hand. Paid days are taken back by a refund, which leaves a credit note."""
        super().clean()
        before = UserTier.objects.filter(pk=self.pk).first() if self.pk else None
        faults: Faults = {}
        if fault := self._fault_of_the_end(before):
            faults["expires_at"] = [fault]
        elif before is not None and (payment := self._payment_cut_short(before)):
            day = date_format(timezone.localtime(payment.ends_at), "DATE_FORMAT")
            sentence = _("Payment %(id)s paid until %(day)s. To take its days back, refund the payment.")
            faults["tier" if self.tier_id != before.tier_id else "expires_at"] = [
                sentence % {"id": payment.pk, "day": day}
            ]
        if faults:
            raise ValidationError(faults)

    def _fault_of_the_end(self, before: "UserTier | None") -> Any:
        now = timezone.now()
        as_before = before is not None and (before.tier_id, before.expires_at) == (self.tier_id, self.expires_at)
        if self.expires_at is None or as_before:
            return None
        if self.tier_id == FREE:
            return _("The free tier has no end: leave it empty.")
        if self.expires_at <= now:
            return _("This end is in the past. To take the tier away, choose the free tier.")
        if self.expires_at > now + LONGEST:
            return _("This end is more than ten years ahead. Leave it empty for no end.")
        if self.subscribed_at is not None and self.subscribed_at > self.expires_at:
            return _("The subscription begins after its end.")
        return None

    def _payment_cut_short(self, before: "UserTier") -> Any:
        """The last payment whose days this change would take back, or None."""
        now = timezone.now()
        paid: Any = self.user.payments.filter(status="paid", ends_at__gt=now).order_by("-ends_at").first()
        if paid is None or not before.in_force(now) or before.tier_id == FREE:
            return None
        # Money for a cheaper tier may have bought time of the dearer one that is held.
        given_as_held = hasattr(paid, "paid_time") and paid.paid_time.tier == before.tier_id
        rank = before.tier.rank if given_as_held else paid.tier.rank
        lower = self.tier_id != before.tier_id and self.tier.rank < rank
        end_moved = self.expires_at != before.expires_at
        sooner = end_moved and self.expires_at is not None and paid.ends_at > self.expires_at
        return paid if lower or sooner else None
