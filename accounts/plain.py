from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator


def is_plain(text: str) -> bool:
    """Whether a header can carry it, and a log: ASCII, and nothing in it that does not show. A typographer's dash or an
    invisible space that came along when it was copied is neither."""
    return text.isascii() and text.isprintable()


def check_mailable(email: str) -> None:
    """Raise `ValidationError` for what a standard allows and mail programs stumble over: in quotes anything."""
    if '"' in email or not email.isprintable():
        raise ValidationError(EmailValidator.message, code=EmailValidator.code)
