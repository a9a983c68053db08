"""The catalogue as staff edit it: public models, and the routes by which each can be served."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.announcing import AnnouncingQuerySet, announces
from billing.models import FREE, Tier

from .providers.registry import PROVIDERS


def known_provider(name: str) -> None:
    if name not in PROVIDERS:
        raise ValidationError(_("There is no provider “%(name)s”."), params={"name": name})


# No provider has a model of more; a digit too many is a mistake.
MOST_TOKENS = 100_000_000
LONGEST_SECONDS = 600
FALLBACKS = ("stands_in", "last_resort")
PLAIN_NAME = RegexValidator(r"^[\w./:@+~-]+$")
SOME_TOKENS = (MinValueValidator(1), MaxValueValidator(MOST_TOKENS))


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

    name = models.CharField(_("public name"), max_length=64, primary_key=True, validators=[PLAIN_NAME])
    title = models.CharField(_("title"), max_length=80)
    vendor = models.CharField(_("vendor"), max_length=40)
    description = models.CharField(_("description"), max_length=300, blank=True)
    min_tier = models.ForeignKey(Tier, models.PROTECT, db_column="min_tier", default=FREE, verbose_name=_("from tier"))
    context_window = models.PositiveIntegerField(_("context window (tokens)"), validators=SOME_TOKENS)
    max_output_tokens = models.PositiveIntegerField(_("most output tokens"), validators=SOME_TOKENS)
    default_output_tokens = models.PositiveIntegerField(
        _("output tokens by default"),
        default=4096,
        db_default=4096,
        validators=SOME_TOKENS,
        help_text=_("Where the caller names no cap."),
    )
    image_tokens = models.PositiveIntegerField(
        _("most tokens per image"),
        null=True,
        blank=True,
        validators=SOME_TOKENS,
        help_text=_("Empty: the model takes no images."),
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

    def clean(self) -> None:
        """What would break serving: limits that contradict each other, and a fallback that is gone."""
        super().clean()
        faults = {**self._faults_of_limits(), **self._faults_of_fallbacks()}
        alike = Model.objects.filter(name__iexact=self.name).exclude(name=self.name).first()
        if alike is not None:
            faults["name"] = [_("There is a model %(name)s already.") % {"name": alike.name}]
        if faults:
            raise ValidationError(faults)

    def validate_constraints(self, exclude: Any = None) -> None:
        """A model that is ticked as the stand-in takes the place of the one that was: `CatalogueModelAdmin`."""
        super().validate_constraints({*(exclude or ()), *FALLBACKS})

    def _faults_of_limits(self) -> dict[str, list[Any]]:
        window, most, default = self.context_window or 0, self.max_output_tokens or 0, self.default_output_tokens or 0
        faults: dict[str, list[Any]] = {}
        if most > window:
            faults["max_output_tokens"] = [_("An answer cannot be longer than the context window.")]
        if default > most:
            faults["default_output_tokens"] = [_("This is more than the most that the model gives.")]
        return faults

    def _faults_of_fallbacks(self) -> dict[str, list[Any]]:
        before = Model.objects.filter(pk=self.pk).first()
        faults: dict[str, list[Any]] = {
            name: [_("Something must serve when nothing else can. Tick it on another model instead.")]
            for name in FALLBACKS
            if before is not None and getattr(before, name) and not getattr(self, name)
        }
        if (self.stands_in or self.last_resort) and not self.enabled:
            faults["enabled"] = [_("This model serves when others cannot. Tick another one for that first.")]
        if self.stands_in and self.last_resort:
            faults["last_resort"] = [_("The stand-in and the last resort must be two models.")]
        return faults


@announces(None)
class Route(models.Model):
    """One way to serve a model: a provider, and the name that the model has there."""

    class Lane(models.TextChoices):
        GOOD = "good", _("good (OpenRouter's share)")
        CHEAP = "cheap", _("cheap (Groq's share)")

    model = models.ForeignKey(Model, models.CASCADE, related_name="routes", verbose_name=_("model"))
    provider = models.CharField(_("provider"), max_length=32, validators=[known_provider])
    upstream = models.CharField(_("name at the provider"), max_length=128, validators=[PLAIN_NAME])
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
        _("time-out (s)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_SECONDS)],
        help_text=_("Of a whole answer. Empty: 120, and 300 for a stream."),
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

    def clean(self) -> None:
        super().clean()
        faults: dict[str, list[Any]] = {}
        for name in ("input_price", "output_price"):
            if getattr(self, name) == 0 and not self.free:
                # The budget would hold nothing for a call that the provider bills.
                faults[name] = [_("0 counts as free. Tick “free” if the provider bills nothing; else enter its price.")]
        if self.serves and not Model.objects.filter(name=self.serves).exists():
            faults["serves"] = [_("There is no model %(name)s.") % {"name": self.serves}]
        if faults:
            raise ValidationError(faults)
