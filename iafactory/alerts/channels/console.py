"""The log, always: whatever else fails, it was said there."""

import logging

from .base import Note

logger = logging.getLogger("iafactory.alerts")


class Console:
    name = "console"

    def configured(self) -> bool:
        return True

    def send(self, note: Note) -> None:
        level = logging.WARNING if note.level != "recovered" else logging.INFO
        logger.log(
            level, "Alert (%s, %s): %s %s", note.level, note.rule, note.message, note.action and f"→ {note.action}"
        )
