"""E-mail, by Django (EMAIL_URL)."""

from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

from .base import ChannelFailed, Note

SUBJECT_LENGTH = 150


class Email:
    name = "email"

    def configured(self) -> bool:
        return bool(settings.ALERT_EMAIL_TO)

    def send(self, note: Note) -> None:
        subject = f"{note.title}: {note.message}".replace("\n", " ")[:SUBJECT_LENGTH]
        # Mail programs show a thread of its own for each alert; auto-replies stay away.
        headers = {"X-IAFactory-Rule": note.rule, "Auto-Submitted": "auto-generated"}
        try:
            EmailMessage(subject, body(note), to=list(settings.ALERT_EMAIL_TO), headers=headers).send()
            return
        except SMTPException as error:
            # The server's own words may repeat the user's name.
            code = f"smtp_{getattr(error, 'smtp_code', '') or type(error).__name__}"
        except TimeoutError:
            code = "timeout"
        except (OSError, ValueError):
            code = "no_connection"
        raise ChannelFailed(code)


def body(note: Note) -> str:
    return f"{note.text}\n\n{settings.API_URL}/admin/dashboard\n"
