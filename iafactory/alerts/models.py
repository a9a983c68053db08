"""What was wrong from when to when, and what was told of it where."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# A process that dies while it sends is not waited for longer.
CLAIM = timedelta(minutes=2)
# What could not be sent for this long is no news any more.
NEWS = timedelta(hours=24)


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> "IncidentQuerySet":
        return self.filter(ended_at=None)

    def begun(self) -> dict[tuple[str, str], datetime]:
        """Rule and subject of what is wrong -> since when."""
        return {(i.rule, i.subject): i.began_at for i in self.open()}


class Incident(models.Model):
    rule = models.CharField(_("rule"), max_length=32)
    subject = models.CharField(_("about"), max_length=64, blank=True)
    level = models.CharField(_("level"), max_length=16)
    message = models.TextField(_("message"))
    began_at = models.DateTimeField(_("began"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        db_table = "alert_incidents"
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints: ClassVar = [
            # Two processes may find the same trouble at once: it is one incident.
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=Q(ended_at=None), name="alert_incidents_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}".strip()


class MessageQuerySet(models.QuerySet["Message"]):
    def due(self) -> "MessageQuerySet":
        now = timezone.now()
        return self.filter(
            Q(claimed_until=None) | Q(claimed_until__lt=now), sent_at=None, dropped=False, created_at__gt=now - NEWS
        )

    def told(self, *, rule: str, subject: str, level: str, period: date) -> bool:
        return self.filter(rule=rule, subject=subject, level=level, period=period).exists()

    def write(self, messages: Iterable["Message"]) -> None:
        """Those that are there already stay: each is written once per level, period and channel."""
        self.bulk_create(messages, ignore_conflicts=True)


class Message(models.Model):
    """One message on one channel: `level` is the alert's, or `recovered`."""

    RECOVERED = "recovered"

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="messages", verbose_name=_("alert"))
    rule = models.CharField(_("rule"), max_length=32)
    subject = models.CharField(_("about"), max_length=64, blank=True)
    level = models.CharField(_("level"), max_length=16)
    period = models.DateField(_("day"))
    channel = models.CharField(_("channel"), max_length=16)
    message = models.TextField(_("message"))
    action = models.TextField(_("what to do"), blank=True)
    created_at = models.DateTimeField(_("written"), default=timezone.now)
    claimed_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(_("sent"), null=True)
    # Overtaken by events before it could be sent.
    dropped = models.BooleanField(_("dropped"), db_default=False)
    attempts = models.PositiveSmallIntegerField(_("tries"), db_default=0)
    error = models.CharField(_("error"), max_length=64, blank=True, db_default="")

    objects = MessageQuerySet.as_manager()

    class Meta:
        db_table = "alert_messages"
        verbose_name = _("alert message")
        verbose_name_plural = _("alert messages")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["rule", "subject", "level", "period", "channel"], name="alert_messages_once_per_period"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["created_at"], condition=Q(sent_at=None, dropped=False), name="alert_messages_due")
        ]

    def __str__(self) -> str:
        return f"{self.channel}: {self.message}"

    def claim(self) -> bool:
        """Compare-and-set: of two processes that would send it at once, one does. Should that one die on the way, its
        claim lapses and the message is sent (perhaps a second time: better than never)."""
        now = timezone.now()
        return bool(
            Message.objects.due().filter(pk=self.pk).update(claimed_until=now + CLAIM, attempts=F("attempts") + 1)
        )

    def was_sent(self) -> None:
        Message.objects.filter(pk=self.pk).update(sent_at=timezone.now(), error="")

    def was_not_sent(self, error: str) -> None:
        """It is due again at the next occasion."""
        Message.objects.filter(pk=self.pk).update(claimed_until=None, error=error)
