"""The keyed hash under which API keys are stored: a stolen table does not open the API without the pepper."""

import hmac

from django.conf import settings

PREFIX = "iaf_"


def digest_of(key: str) -> str:
    """HMAC-SHA256 of the key with `API_KEY_PEPPER`, in hex."""
    return hmac.digest(settings.API_KEY_PEPPER.encode(), key.encode(), "sha256").hex()
