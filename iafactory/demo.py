"""The demo account of a development checkout: a password and an API key made once, kept under `var/secrets`."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts.keys import digest_of
from accounts.models import ApiKey, User
from billing.models import UserTier

from .env import generated_secret

EMAIL = "demo@iafactory.dz"
# With an end: beside a tier without one there is nothing to buy, and a newcomer could not try to pay.
LASTS = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class DemoAccount:
    email: str
    password: str
    api_key: str


def demo_account() -> DemoAccount:
    """On tier `pro`, and staff. Made at the first start; later ones find it as it was left."""
    assert settings.DEVELOPMENT
    password = generated_secret("DEMO_PASSWORD", settings.VAR_DIR)[:16]
    user = User.objects.filter(email=EMAIL).first()
    if user is None:
        user = User.objects.create_superuser(EMAIL, password)
        now = timezone.now()
        UserTier.objects.create(user=user, tier_id="pro", subscribed_at=now, expires_at=now + LASTS)
    api_key = "iaf_" + generated_secret("DEMO_API_KEY", settings.VAR_DIR).replace("-", "x").replace("_", "y")[:40]
    ApiKey.objects.get_or_create(
        digest=digest_of(api_key), defaults={"user": user, "name": "make run", "prefix": api_key[:12]}
    )
    return DemoAccount(EMAIL, password, api_key)
