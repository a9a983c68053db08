"""Signed links of mails. A renewal link leads to the step before paying for one user and one tier, without a login: it
can be used to pay for that user and for nothing else, and it holds no secret that opens the account."""

from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.urls import reverse

SALT = "billing.renewal"
GOOD_FOR = timedelta(days=60)


class BadLink(Exception):
    """Not ours, altered, or too old."""


def renewal_link(*, user_id: int, tier: str) -> str:
    token = signing.dumps([user_id, tier], salt=SALT, compress=True)
    return absolute(reverse("renew", args=[token]))


def read_renewal(token: str) -> tuple[int, str]:
    """The user's id and the tier; raises `BadLink`."""
    try:
        user_id, tier = signing.loads(token, salt=SALT, max_age=GOOD_FOR)
    except signing.BadSignature as error:
        raise BadLink from error
    return int(user_id), str(tier)


def absolute(path: str) -> str:
    return settings.FRONTEND_URL.rstrip("/") + path
