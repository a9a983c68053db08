"""The tiers on sale, and who is on which until when."""

from datetime import datetime
from typing import ClassVar

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.announcing import AnnouncingQuerySet, announces
from accounts.models import User

FREE = "free"


@announces(None)
class Tier(models.Model):
    name = models.SlugField(_("name"), max_length=32, primary_key=True)
    price_dzd = models.PositiveIntegerField(
        _("price per 30 days (DZD)"), null=True, blank=True, help_text=_("Whole dinars. Empty: on quote.")
    )
    sold_online = models.BooleanField(_("sold online"), default=False, db_default=False)
    messages_per_day = models.PositiveIntegerField(_("messages per day"))
    requests_per_minute = models.PositiveIntegerField(_("requests per minute"))
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
            models.CheckConstraint(condition=models.Q(groq_percent__lte=100), name="tiers_groq_percent_is_a_percentage")
        ]

    def __str__(self) -> str:
        return self.name


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
