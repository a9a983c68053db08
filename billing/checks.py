"""Wrong settings of payments, told at start. A key is never shown, nor a part of one."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 (Django's own name)

from accounts.plain import is_plain

KEYS_HINT = "Keys are at https://pay.chargily.com, Developers Corner; test and live mode have their own."


@register()
def chargily_key_is_there(**kwargs: Any) -> list[CheckMessage]:
    """With an empty key anybody could sign a webhook. At run time it is refused as well."""
    if settings.CHARGILY_SECRET_KEY:
        return []
    if settings.CHARGILY_API_KEY or settings.CHARGILY_WEBHOOK_SECRET:
        return [
            Error(
                "CHARGILY_SECRET_KEY is not set, though other keys of Chargily are.", hint=KEYS_HINT, id="billing.E001"
            )
        ]
    if settings.PRODUCTION:
        return [Warning("CHARGILY_SECRET_KEY is not set: nobody can pay (503).", hint=KEYS_HINT, id="billing.W001")]
    return []


@register()
def chargily_key_is_of_the_mode(**kwargs: Any) -> list[CheckMessage]:
    """Test keys begin with test_; how live ones begin is not documented for sure."""
    live = settings.CHARGILY_MODE == "live"
    found: list[CheckMessage] = []
    for name in ("CHARGILY_SECRET_KEY", "CHARGILY_API_KEY"):
        key = getattr(settings, name)
        if key.startswith("test_") and live:
            found.append(Error(f"{name} is a test key in live mode.", hint=KEYS_HINT, id="billing.E002"))
        elif key.startswith("live_") and not live:
            found.append(Error(f"{name} is a live key in test mode.", hint=KEYS_HINT, id="billing.E003"))
    key = settings.CHARGILY_SECRET_KEY
    if key and not live and settings.PRODUCTION:
        hint = "Set CHARGILY_MODE=live and live keys before anybody can sign up, unless this is a rehearsal."
        found.append(
            Warning("CHARGILY_MODE is test: tiers and invoices are given for play money.", hint=hint, id="billing.W004")
        )
    if key and not live and not key.startswith(("test_", "live_")):
        found.append(Warning("CHARGILY_SECRET_KEY does not look like a test key.", hint=KEYS_HINT, id="billing.W002"))
    if settings.PRODUCTION and key and len(key) < 16:
        found.append(Error("CHARGILY_SECRET_KEY is too short to be one.", hint=KEYS_HINT, id="billing.E004"))
    if not is_plain(key):
        hint = f"Copy it again: a character in it is not plain ASCII, or invisible. {KEYS_HINT}"
        found.append(Error("CHARGILY_SECRET_KEY cannot be sent.", hint=hint, id="billing.E008"))
    secret = settings.CHARGILY_WEBHOOK_SECRET
    if settings.PRODUCTION and secret and len(secret) < 16:
        hint = "Unset it: Chargily signs with the secret key."
        found.append(Error("CHARGILY_WEBHOOK_SECRET can be guessed.", hint=hint, id="billing.E005"))
    return found


@register()
def addresses_are_https(**kwargs: Any) -> list[CheckMessage]:
    if not settings.PRODUCTION or not settings.CHARGILY_SECRET_KEY:
        return []
    return [
        Error(f"{name} must begin with https:// in production.", hint=hint, id=f"billing.E01{number}")
        for number, (name, hint) in enumerate(
            {
                "API_URL": "Chargily sends its webhooks there.",
                "FRONTEND_URL": "Chargily sends customers back there.",
                "CHARGILY_BASE_URL": "The secret key goes there.",
            }.items(),
            1,
        )
        if not getattr(settings, name).startswith("https://")
    ]


@register()
def tax_is_a_percentage(**kwargs: Any) -> list[CheckMessage]:
    if settings.TVA_PERCENT < 100 and round(settings.TVA_PERCENT, 2) == settings.TVA_PERCENT:
        return []
    hint = "19, say: the tax that prices include."
    return [Error("TVA_PERCENT must be under 100, with two decimals at most.", hint=hint, id="billing.E006")]


@register()
def rate_is_positive(**kwargs: Any) -> list[CheckMessage]:
    if settings.DZD_PER_USD > 0:
        return []
    return [Error("DZD_PER_USD must be more than zero.", hint="230, say.", id="billing.E007")]


@register()
def seller_is_named(**kwargs: Any) -> list[CheckMessage]:
    """An Algerian invoice names who sells; what is missing is missing on every invoice for ever."""
    missing = [name for name in ("address", "rc", "nif", "nis") if not settings.SELLER[name]]
    if not missing or not settings.PRODUCTION or not settings.CHARGILY_SECRET_KEY:
        return []
    names = ", ".join(f"SELLER_{name.upper()}" for name in missing)
    return [Warning(f"Invoices will lack {names}.", hint="Set them before the first sale.", id="billing.W003")]
