"""The catalogue as staff edit it: public models, and the routes by which each can be served."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.announcing import AnnouncingQuerySet, announces
from billing.models import FREE, Tier

from .providers.registry import PROVIDERS


def known_provider(name: str) -> None:
    if name not in PROVIDERS:
        raise ValidationError(_("There is no provider “%(name)s”."), params={"name": name})


def price(name: Any, help_text: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(
        name,
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=help_text,
    )


def price_override(name: Any) -> "models.DecimalField[Any, Any]":
    return price(name, _("USD per million tokens. Empty: the list price."))


def price_limit(name: Any) -> "models.DecimalField[Any, Any]":
    return price(name, _("USD per million tokens. A dearer route is not used. Empty: no limit."))


@announces(None)
class Model(models.Model):
    """A model under its public name. The name stays when what serves it changes."""

    name = models.CharField(_("public name"), max_length=64, primary_key=True)
    title = models.CharField(_("title"), max_length=80)
    vendor = models.CharField(_("vendor"), max_length=40)
    description = models.CharField(_("description"), max_length=300, blank=True)
    min_tier = models.ForeignKey(Tier, models.PROTECT, db_column="min_tier", default=FREE, verbose_name=_("from tier"))
    context_window = models.PositiveIntegerField(_("context window (tokens)"))
    max_output_tokens = models.PositiveIntegerField(_("most output tokens"))
    default_output_tokens = models.PositiveIntegerField(
        _("output tokens by default"), default=4096, db_default=4096, help_text=_("Where the caller names no cap.")
    )
    image_tokens = models.PositiveIntegerField(
        _("most tokens per image"), null=True, blank=True, help_text=_("Empty: the model takes no images.")
    )
    thinks_unseen = models.BooleanField(
        _("may think unseen"),
        default=True,
        db_default=True,
        help_text=_("Bills thoughts that it does not show: a caller who hangs up is charged all that was held."),
    )
    only_tiers = models.ManyToManyField(
        Tier,
        blank=True,
        related_name="+",
        verbose_name=_("only for tiers"),
        help_text=_("Empty: for the tier above and all higher ones."),
    )
    enabled = models.BooleanField(_("enabled"), default=True, db_default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0, db_default=0)
    stands_in = models.BooleanField(
        _("cheap stand-in"),
        default=False,
        db_default=False,
        help_text=_("Serves when the asked model may not or cannot: the split, the budget, the tier, an outage."),
    )
    last_resort = models.BooleanField(
        _("last resort"), default=False, db_default=False, help_text=_("Serves when the stand-in cannot either.")
    )

    added_at = models.DateTimeField(_("added"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager["Model"]] = AnnouncingQuerySet["Model"].as_manager()

    class Meta:
        db_table = "llm_models"
        ordering: ClassVar = ["position", "name"]
        verbose_name = _("model")
        verbose_name_plural = _("models")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stands_in"], condition=models.Q(stands_in=True), name="llm_models_one_stand_in"
            ),
            models.UniqueConstraint(
                fields=["last_resort"], condition=models.Q(last_resort=True), name="llm_models_one_last_resort"
            ),
        ]

    def __str__(self) -> str:
        return self.name


@announces(None)
class Route(models.Model):
    """One way to serve a model: a provider, and the name that the model has there."""

    class Lane(models.TextChoices):
        GOOD = "good", _("good (OpenRouter's share)")
        CHEAP = "cheap", _("cheap (Groq's share)")

    model = models.ForeignKey(Model, models.CASCADE, related_name="routes", verbose_name=_("model"))
    provider = models.CharField(_("provider"), max_length=32, validators=[known_provider])
    upstream = models.CharField(
        _("name at the provider"), max_length=128, validators=[RegexValidator(r"^[\w./:@+~-]+$")]
    )
    serves = models.CharField(
        _("serves"), max_length=64, blank=True, help_text=_("The public name of what really answers, if it is another.")
    )
    lane = models.CharField(_("lane"), max_length=8, choices=Lane, default=Lane.GOOD, db_default=Lane.GOOD)
    position = models.PositiveSmallIntegerField(_("order"), default=0, db_default=0)
    weight = models.PositiveSmallIntegerField(
        _("weight"),
        default=1,
        db_default=1,
        validators=[MinValueValidator(1)],
        help_text=_("Among routes of the same order: how often this one comes first."),
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        _("time-out (s)"), null=True, blank=True, help_text=_("Of a whole answer. Empty: 120, and 300 for a stream.")
    )
    enabled = models.BooleanField(_("enabled"), default=True, db_default=True)
    free = models.BooleanField(
        _("free"), default=False, db_default=False, help_text=_("The provider bills nothing for it.")
    )
    # Dollars per million tokens. The list is genai-prices'; what staff enter wins.
    list_prices = models.JSONField(_("list prices"), default=dict, blank=True, editable=False)
    input_price = price_override(_("input price"))
    output_price = price_override(_("output price"))
    cache_read_price = price_override(_("cache read price"))
    cache_write_price = price_override(_("cache write price"))
    max_input_price = price_limit(_("highest input price"))
    max_output_price = price_limit(_("highest output price"))

    objects: ClassVar[models.Manager["Route"]] = AnnouncingQuerySet["Route"].as_manager()

    class Meta:
        db_table = "llm_routes"
        ordering: ClassVar = ["position", "id"]
        verbose_name = _("route")
        verbose_name_plural = _("routes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "provider", "upstream"], name="llm_routes_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} → {self.provider}/{self.upstream}"
