"""Staff's second factor: six digits from an app (TOTP, RFC 6238), or one of ten recovery codes.

The app's secret is in no table. It is derived from `API_SECRET_KEY` and the salt of the row, so that a stolen table
opens nothing. Whoever changes `API_SECRET_KEY` therefore resets everybody's second factor as well
(`manage.py reset_second_factor`).
"""

import base64
import hmac
import secrets
import time
from typing import cast
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django_otp.oath import TOTP

from .audit import record
from .errors import BadSecondFactor, SecondFactorNotSetUp, SecondFactorRequired
from .models import RecoveryCode, SecondFactor, User
from .throttle import limit_attempts
from .tokens import end_refresh_tokens

ISSUER = "IA Factory"
STEP_SECONDS = 30
# A telephone's clock may be half a minute off.
TOLERANCE = 1
RECOVERY_CODES = 10
# Of a million codes three are good at a time: a guesser needs some ten thousand hours.
GUESSES = ("10/m", "30/h")
# Without what is easily misread.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
# In a session: the factor that it has passed, and the salt of the one that it is setting up.
SESSION_KEY, SALT_KEY = "second_factor", "second_factor_salt"


def is_set_up(user: User) -> bool:
    return SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).exists()


def is_needed(user: User) -> bool:
    """Whether a password alone is not enough for this person."""
    return user.is_staff and (settings.STAFF_2FA == "required" or is_set_up(user))


def pass_at_login(request: HttpRequest, user: User, code: str) -> bool:
    """At a login over the API, after the password: whether a second factor was given. Raises where it had to be."""
    if not is_needed(user):
        return False
    if not is_set_up(user):
        raise SecondFactorNotSetUp
    if not code:
        raise SecondFactorRequired
    accept(request, user=user, code=code)
    return True


def accept(request: HttpRequest, *, user: User, code: str) -> None:
    """Spend a code of the app, or a recovery code; raises `BadSecondFactor`, or `TooManyAttempts` for a guesser."""
    limit_guesses(request, user)
    if not (_spend_app_code(user, code) or _spend_recovery_code(request, user, code)):
        raise BadSecondFactor


def limit_guesses(request: HttpRequest, user: User) -> None:
    for rate in GUESSES:
        limit_attempts(request, f"second-factor-{rate}", rate, account=str(user.pk))


def _spend_app_code(user: User, code: str) -> bool:
    factor = SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    if factor is None:
        return False
    step = step_of(factor, code)
    # One code sent twice at once: the condition lets one of them through.
    return step is not None and bool(
        SecondFactor.objects.filter(pk=factor.pk, last_step__lt=step).update(last_step=step)
    )


def _spend_recovery_code(request: HttpRequest, user: User, code: str) -> bool:
    with transaction.atomic():
        # Found and spent in one statement: two logins at once with one code give one session.
        spent, _ = RecoveryCode.objects.filter(user=user, digest=recovery_digest(user, code)).delete()
        if spent:
            left = RecoveryCode.objects.filter(user=user).count()
            record("second_factor.recovery_code_used", by=user, subject=user, details={"left": left}, request=request)
    return bool(spent)


# Setting it up


def begin(request: HttpRequest, *, user: User) -> SecondFactor:
    """The factor that this session is setting up, the same until it is confirmed. Another session of the same person
    has another: whoever looked in with a password alone has nothing of what the owner confirms."""
    return SecondFactor(user=user, salt=request.session.setdefault(SALT_KEY, secrets.token_urlsafe(32)))


def confirm(request: HttpRequest, *, user: User, code: str) -> list[str]:
    """The app shows the right digits: from now on they are asked for. The recovery codes, shown this once."""
    limit_guesses(request, user)
    factor = begin(request, user=user)
    step = step_of(factor, code)
    if step is None:
        raise BadSecondFactor
    factor.last_step, factor.confirmed_at = step, timezone.now()
    try:
        with transaction.atomic():
            # Of before they were the session's own, and never confirmed.
            SecondFactor.objects.filter(user=user, confirmed_at=None).delete()
            # Two confirmations at once must not each show codes of which only one set is good: a user has one factor.
            factor.save(force_insert=True)
            codes = _new_recovery_codes(user)
            # Logins of the time before, with a password alone.
            end_refresh_tokens(user)
            record("second_factor.set_up", by=user, subject=user, request=request)
    except IntegrityError as error:
        raise BadSecondFactor from error
    del request.session[SALT_KEY]
    return codes


def renew_recovery_codes(request: HttpRequest, *, user: User, code: str) -> list[str]:
    accept(request, user=user, code=code)
    with transaction.atomic():
        # Two renewals at once: the second waits here, and its codes are the good ones.
        SecondFactor.objects.select_for_update().get(user=user)
        codes = _new_recovery_codes(user)
        record("second_factor.recovery_codes_renewed", by=user, subject=user, request=request)
    return codes


def reset(*, user: User, by: User | str, request: HttpRequest | None = None) -> bool:
    """Forget somebody's app and recovery codes, and end the logins made with them; whether there were any."""
    with transaction.atomic():
        deleted, _ = SecondFactor.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        end_refresh_tokens(user)
        record("second_factor.reset", by=by, subject=user, details={"was_set_up": bool(deleted)}, request=request)
    return bool(deleted)


def _new_recovery_codes(user: User) -> list[str]:
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(10)) for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=recovery_digest(user, code)) for code in codes)
    return [f"{code[:5]}-{code[5:]}" for code in codes]


# The arithmetic


def secret_of(factor: SecondFactor) -> bytes:
    return hmac.digest(settings.API_SECRET_KEY.encode(), f"second factor:{factor.salt}".encode(), "sha256")[:20]


def step_of(factor: SecondFactor, code: str) -> int | None:
    """The half minute whose code this is, among those that are good now."""
    digits = code.replace(" ", "")
    if len(digits) != 6 or not (digits.isascii() and digits.isdecimal()):
        return None
    totp = TOTP(secret_of(factor), step=STEP_SECONDS)
    totp.time = time.time()
    return cast(int, totp.t()) if totp.verify(int(digits), TOLERANCE, factor.last_step + 1) else None


def recovery_digest(user: User, code: str) -> str:
    plain = code.strip().lower().replace("-", "")
    return hmac.digest(settings.API_SECRET_KEY.encode(), f"recovery:{user.pk}:{plain}".encode(), "sha256").hex()


def base32_of(factor: SecondFactor) -> str:
    """The secret as a person types it into an app."""
    return base64.b32encode(secret_of(factor)).decode()


def address_of(factor: SecondFactor) -> str:
    """The secret as an app reads it from a QR code."""
    query = urlencode({"secret": base32_of(factor), "issuer": ISSUER})
    return f"otpauth://totp/{quote(f'{ISSUER}:{factor.user.email}')}?{query}"
