from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class KeyCheck(models.Model):
    """What the last check said of a key. `subject` names the key without giving it away."""

    provider = models.CharField(_("provider"), max_length=32)
    subject = models.CharField(_("key"), max_length=64, unique=True)
    ordinal = models.PositiveSmallIntegerField(_("number"))
    well_formed = models.BooleanField(_("well-formed"))
    outcome = models.CharField(_("outcome"), max_length=16)
    status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    checked_at = models.DateTimeField(_("checked"), default=timezone.now)

    class Meta:
        db_table = "provider_key_checks"
        verbose_name = _("key check")
        verbose_name_plural = _("key checks")

    FIELDS: ClassVar = ["provider", "ordinal", "well_formed", "outcome", "status", "checked_at"]

    def __str__(self) -> str:
        return f"{self.subject}: {self.outcome}"
