"""Making an account: how many of one network address, and what is kept of its beginning."""

import hmac
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from .errors import TooManyAttempts
from .models import SignUp, User, normal_email

DAY = timedelta(days=1)
KEEP_ADDRESSES = timedelta(days=90)
# Hosts for whose mailboxes dots mean nothing, and the names under which one of them also goes.
DOTS_MEAN_NOTHING = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}


def save(user: User, *, address: str) -> None:
    """A new user and what is kept of its beginning, inside the caller's transaction; raises `TooManyAttempts` past
    `FREE_ACCOUNTS_PER_ADDRESS`."""
    digest = keyed_digest("address", address)
    _within_the_day(digest)
    user.save(force_insert=True)
    SignUp.objects.create(user=user, address_digest=digest, mailbox_digest=mailbox_digest(user.email))


def _within_the_day(address_digest: str) -> None:
    limit = settings.FREE_ACCOUNTS_PER_ADDRESS
    if not limit:
        return
    with connection.cursor() as cursor:
        # Ten sign-ups of one address at once would each count nine: one after the other they count right.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sign-ups:{address_digest}"])
    since = timezone.now() - DAY
    recent = SignUp.objects.filter(address_digest=address_digest, created_at__gt=since).order_by("-created_at")
    times: list[datetime] = list(recent.values_list("created_at", flat=True)[:limit])
    if len(times) == limit:
        raise TooManyAttempts(int((times[-1] - since).total_seconds()) + 1)


def forget_old_addresses() -> int:
    old = SignUp.objects.filter(created_at__lt=timezone.now() - KEEP_ADDRESSES).exclude(address_digest="")
    return old.update(address_digest="")


def keyed_digest(purpose: str, value: str) -> str:
    """There are few enough network addresses to try them all against a plain hash; the key forbids it."""
    return hmac.digest(settings.API_SECRET_KEY.encode(), f"{purpose}:{value}".encode(), "sha256").hex()


def mailbox_digest(email: str) -> str:
    return keyed_digest("mailbox", mailbox_of(email))


def mailbox_of(email: str) -> str:
    """The mailbox behind an address: without +tags, and without dots where they mean nothing."""
    local, _, domain = normal_email(email).rpartition("@")
    local = local.partition("+")[0]
    if domain in DOTS_MEAN_NOTHING:
        local, domain = local.replace(".", ""), DOTS_MEAN_NOTHING[domain]
    return f"{local}@{domain}"
