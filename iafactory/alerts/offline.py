"""While PostgreSQL is away: that it is, and whether Redis is, can still be told.

Nothing can be recorded in the table then, so what was told is kept in files under `var/alerts`: one per alert, day and
channel. It needs no server, outlives the process, and making a file that must not exist yet is a compare-and-set among
all processes of this machine. (Where several machines serve, each of them tells.)
"""

import json
import logging
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from usage.clock import today

from .channels import Channel, ChannelFailed, Note, configured_channels
from .rules import Alert, Look

logger = logging.getLogger(__name__)


def folder() -> Path:
    return Path(settings.VAR_DIR) / "alerts"


def tell(seen: Look) -> tuple[int, int]:
    """How many messages were sent, and how many could not be."""
    alerts = [alert for alert in seen.alerts if alert.rule.without_postgres]
    results = [tell_one(alert, channel) for alert in alerts for channel in configured_channels()]
    return results.count(True), results.count(False)


def tell_one(alert: Alert, channel: Channel) -> bool | None:
    note = note_of(alert)
    path = folder() / f"{alert.rule.name}.{today()}.{channel.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes find it at once: the one that makes the file tells.
        with path.open("x") as file:
            json.dump(asdict(note) | {"at": note.at.isoformat()}, file)
    except FileExistsError:
        return None
    if not sent(channel, note):
        path.unlink(missing_ok=True)
        return False
    return True


def recover(seen: Look) -> tuple[int, int]:
    """PostgreSQL is back: what was told without it, and is over, is told to be over."""
    channels = {channel.name: channel for channel in configured_channels()}
    wrong = {alert.rule.name for alert in seen.alerts}
    results = []
    for path in sorted(folder().glob("*.*.*")) if folder().is_dir() else []:
        rule, day, name = path.name.split(".")
        if rule not in seen.judged or rule in wrong:
            continue
        note = taken(path)
        # Of several days of trouble the last is enough.
        if note is not None and name in channels and not list(folder().glob(f"{rule}.*.{name}")):
            results.append(sent(channels[name], over(note, day)))
    return results.count(True), results.count(False)


def taken(path: Path) -> Note | None:
    """The note of a file that this process takes away; None when another was faster."""
    mine = path.with_name(f".taken-{path.name}")
    try:
        path.rename(mine)
        fields = json.loads(mine.read_text())
        mine.unlink()
    except (FileNotFoundError, ValueError):
        return None
    return Note(**fields | {"at": datetime.fromisoformat(fields["at"])})


def over(note: Note, day: str) -> Note:
    return Note(
        id=f"{note.id}-over",
        rule=note.rule,
        subject=note.subject,
        level="recovered",
        message=_("Over: %(message)s") % {"message": note.message},
        action="",
        at=datetime.now(UTC),
    )


def note_of(alert: Alert) -> Note:
    now = datetime.now(UTC)
    return Note(
        id=f"alert_{alert.rule.name}_{int(now.timestamp())}",
        rule=alert.rule.name,
        subject=alert.subject,
        level=str(alert.level),
        message=alert.message,
        action=alert.action,
        at=now,
    )


def sent(channel: Channel, note: Note) -> bool:
    try:
        channel.send(note)
    except ChannelFailed as error:
        logger.error("Error: an alert could not be sent by %s (%s); it is tried again", channel.name, error.code)
        return False
    return True
