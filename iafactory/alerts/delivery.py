"""Each alert is told once per level and day on each channel, and so is its end; what could not be sent is tried again.

What is wrong is an `Incident`, what is told of it are `Message`s: written first, under a constraint, and sent after.
While PostgreSQL is away neither can be written; `offline` keeps what is told then.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from usage.clock import today

from . import offline, rules
from .channels import Channel, ChannelFailed, Note, configured_channels
from .models import Incident, Message
from .rules import Alert, Level, Look, Rule

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What stands now, and how many messages were sent and could not be sent just now."""

    alerts: Sequence[Alert]
    sent: int
    failed: int


def deliver(watched: Sequence[Rule] = rules.RULES) -> Delivered:
    """Look, write down what begins and ends, and send what is due."""
    seen = rules.look(watched)
    with translation.override(settings.ALERT_LANGUAGE):
        if any(alert.rule is rules.POSTGRES for alert in seen.alerts):
            return Delivered(seen.alerts, *offline.tell(seen))
        try:
            record(seen)
            sent, failed = send_due({rule.name for rule in watched})
        except DatabaseError as error:
            logger.error("Error: alerts cannot be recorded (%s)", type(error).__name__)
            seen = with_trouble_of_writing(seen)
            return Delivered(seen.alerts, *offline.tell(seen))
        recovered, not_recovered = offline.recover(seen)
    return Delivered(seen.alerts, sent + recovered, failed + not_recovered)


def with_trouble_of_writing(seen: Look) -> Look:
    """PostgreSQL answers and does not write: its disk is full, it is a replica, or it went away in the middle."""
    words = _("PostgreSQL answers, but cannot be written to.")
    trouble = Alert(rules.POSTGRES, "", Level.CRITICAL, {}, timezone.now(), words)
    return Look([*seen.alerts, trouble], seen.judged)


def record(seen: Look) -> None:
    for alert in seen.alerts:
        begin(alert)
    wrong = {(alert.rule.name, alert.subject) for alert in seen.alerts}
    for incident in Incident.objects.open():
        known = incident.rule in seen.judged or incident.rule not in rules.RULE_ORDER
        if known and (incident.rule, incident.subject) not in wrong:
            end(incident)


@transaction.atomic
def begin(alert: Alert) -> None:
    """The incident (one, whoever else finds it at this moment), and its message of this level and day."""
    about = {"rule": alert.rule.name, "subject": alert.subject}
    incident, _new = Incident.objects.get_or_create(
        **about, ended_at=None, defaults={"level": alert.level, "message": alert.message}
    )
    if (incident.level, incident.message) != (alert.level, alert.message):
        Incident.objects.filter(pk=incident.pk).update(level=alert.level, message=alert.message)
    day = today()
    milder = alert.level is Level.WARNING and Message.objects.told(**about, level=Level.CRITICAL, period=day)
    if alert.told and not milder:
        tell(incident, alert.level, alert.message, alert.action, [channel.name for channel in configured_channels()])


@transaction.atomic
def end(incident: Incident) -> None:
    # Compare-and-set: two processes may find it over at once, and one of them says so.
    if not Incident.objects.filter(pk=incident.pk, ended_at=None).update(ended_at=timezone.now()):
        return
    told = incident.messages.exclude(sent_at=None)
    incident.messages.filter(sent_at=None).update(dropped=True)
    tell(
        incident,
        Message.RECOVERED,
        _("Over: %(message)s") % {"message": incident.message},
        _("Nothing to do. Should it come back today, the dashboard shows it; it is sent again tomorrow."),
        sorted(set(told.values_list("channel", flat=True))),
    )


def tell(incident: Incident, level: str, message: str, action: str, channels: Iterable[str]) -> None:
    """Write the messages; `send_due` sends them."""
    Message.objects.write(
        Message(
            incident=incident,
            rule=incident.rule,
            subject=incident.subject,
            level=level,
            period=today(),
            channel=channel,
            message=message,
            action=action,
        )
        for channel in channels
    )


def send_due(of_rules: Collection[str]) -> tuple[int, int]:
    """How many were sent, and how many could not be. Who looks every minute does not try again all that fails."""
    channels = {channel.name: channel for channel in configured_channels()}
    due = Message.objects.due().filter(rule__in=of_rules, channel__in=channels).order_by("pk")
    results = [send(channels[message.channel], message) for message in due]
    return results.count(True), results.count(False)


def send(channel: Channel, message: Message) -> bool | None:
    """Whether it was sent; None when another process has it in hand."""
    if not message.claim():
        return None
    note = Note(
        id=f"alert_{message.pk}",
        rule=message.rule,
        subject=message.subject,
        level=message.level,
        message=message.message,
        action=message.action,
        at=message.created_at,
    )
    try:
        channel.send(note)
    except ChannelFailed as error:
        logger.error("Error: an alert could not be sent by %s (%s); it is tried again", channel.name, error.code)
        message.was_not_sent(error.code)
        return False
    message.was_sent()
    return True
