"""Wrong settings, told at start by `manage.py check`: what is wrong, and what to do about it."""

import os
import stat
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from usage.errors import RedisAway
from usage.redis import reaching_redis

from .stores import postgres_goes_in_the_clear, redis_goes_in_the_clear

SECRETS = ("API_SECRET_KEY", "API_KEY_PEPPER")
HOW_TO_MAKE_ONE = "Set it to 50 random characters or more, of its own (secrets.token_urlsafe(48))."


@register()
def secrets_are_set(**kwargs: Any) -> list[CheckMessage]:
    if settings.DEVELOPMENT:
        return []
    found: list[CheckMessage] = [
        Error(f"{name} is not set, or is no secret.", hint=HOW_TO_MAKE_ONE, id=f"iafactory.E00{number}")
        for number, name in enumerate(SECRETS, 1)
        if not is_a_secret(getattr(settings, name), name)
    ]
    if settings.API_KEY_PEPPER == settings.API_SECRET_KEY:
        found.append(
            Error("API_KEY_PEPPER is the same as API_SECRET_KEY.", hint=HOW_TO_MAKE_ONE, id="iafactory.E003"),
        )
    return found


def is_a_secret(value: str, name: str) -> bool:
    """Long, of many characters, and not the text of some example."""
    example = any(word in value.lower() for word in ("change-me", "changeme", "example", "insecure", "secret"))
    return value != f"missing-{name}" and len(value) >= 32 and len(set(value)) >= 8 and not example


@register()
def servers_are_configured(**kwargs: Any) -> list[CheckMessage]:
    hint = "Start `make run`, or set it to the address of a server of your own."
    return [
        (Error if settings.PRODUCTION else checks.Warning)(
            f"{name} is not set.", hint=hint, id=f"iafactory.E01{number}"
        )
        for number, name in enumerate(("POSTGRES_URL", "REDIS_URL"), 1)
        if not getattr(settings, name)
    ]


@register()
def servers_are_reached_over_tls(**kwargs: Any) -> list[CheckMessage]:
    if settings.DEVELOPMENT:
        return []
    found: list[CheckMessage] = []
    if settings.POSTGRES_URL and postgres_goes_in_the_clear(settings.DATABASES["default"], os.environ):
        hint = "Add sslmode=verify-full (with sslrootcert=…), or at least sslmode=require, to POSTGRES_URL."
        found.append(checks.Warning("PostgreSQL is on another machine, without TLS.", hint=hint, id="iafactory.W007"))
    if settings.REDIS_URL and redis_goes_in_the_clear(settings.REDIS_URL):
        hint = "Write rediss:// in REDIS_URL (with ssl_ca_certs=…)."
        found.append(checks.Warning("Redis is on another machine, without TLS.", hint=hint, id="iafactory.W008"))
    return found


@register()
def env_file_is_private(**kwargs: Any) -> list[CheckMessage]:
    path = settings.ENV_FILE
    if not path.is_file() or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    return [checks.Warning(f"{path.name} can be read by others.", hint=f"chmod 600 {path.name}", id="iafactory.W001")]


@register()
def proxies_are_named(**kwargs: Any) -> list[CheckMessage]:
    """Production is behind a proxy (it needs TLS). If the product does not know it, all callers have its address."""
    if settings.DEVELOPMENT:
        return []
    if not settings.TRUSTED_PROXIES:
        return [
            checks.Warning(
                "TRUSTED_PROXIES is empty: behind a proxy all callers share one network address, and so one limit of "
                "sign-ups and logins.",
                hint="Set it to the address of the proxy, such as 127.0.0.1, or to its network.",
                id="iafactory.W005",
            )
        ]
    if all(ip_network(proxy, strict=False).prefixlen for proxy in settings.TRUSTED_PROXIES):
        return []
    return [
        checks.Warning(
            "TRUSTED_PROXIES trusts every address: callers choose their own network address, and no limit holds.",
            hint="Name only your proxies.",
            id="iafactory.W006",
        )
    ]


@register()
def clock_is_not_shifted(**kwargs: Any) -> list[CheckMessage]:
    if not settings.CLOCK_SHIFT_SECONDS or settings.DEVELOPMENT:
        return []
    return [Error("CLOCK_SHIFT_SECONDS is for tests.", hint="Unset it.", id="iafactory.E020")]


@register()
def ticks_come_by_the_second(**kwargs: Any) -> list[CheckMessage]:
    """Without them a process is taken for dead."""
    if settings.USAGE_TICK_SECONDS == 1 or settings.DEVELOPMENT:
        return []
    return [Error("USAGE_TICK_SECONDS is for tests.", hint="Unset it.", id="iafactory.E022")]


@register()
def mail_password_is_not_sent_in_the_clear(**kwargs: Any) -> list[CheckMessage]:
    local = settings.EMAIL_HOST in {"localhost", "127.0.0.1", "::1"}
    if not settings.EMAIL_HOST_PASSWORD or settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL or local:
        return []
    hint = "Use port 587 or 465, or smtp+tls:// or smtps:// in EMAIL_URL."
    return [checks.Warning("EMAIL_URL sends its password unencrypted.", hint=hint, id="iafactory.W002")]


@register()
def alerts_are_signed(**kwargs: Any) -> list[CheckMessage]:
    secret = settings.ALERT_WEBHOOK_SECRET
    signed = len(secret) >= 24 and not secret.startswith("missing-")
    if settings.DEVELOPMENT or not settings.ALERT_WEBHOOK_URL or signed:
        return []
    hint = "Set it to whsec_ and 32 random bytes in base64: its receiver has to know it."
    return [Error("ALERT_WEBHOOK_SECRET is not set, or too short.", hint=hint, id="iafactory.E030")]


@register()
def channels_are_whole(**kwargs: Any) -> list[CheckMessage]:
    """Half a channel sends nothing, and nobody notices."""
    hint = "No alert goes there."
    channels = (
        ("TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"),
        ("WHATSAPP_TOKEN", "WHATSAPP_PHONE_NUMBER_ID", "WHATSAPP_TO"),
    )
    return [
        checks.Warning(f"{name} is not set, though others of its channel are.", hint=hint, id="iafactory.W003")
        for names in channels
        for name in names
        if not getattr(settings, name) and any(getattr(settings, other) for other in names)
    ]


@register(Tags.database)
def redis_evicts_nothing(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Asked of the server, so only where the database is asked too (`check --database default`, as `make run` does)."""
    if not databases:
        return []
    try:
        with reaching_redis() as redis:
            policy = redis.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except RedisAway:
        # Away, or a service that keeps its configuration to itself.
        return []
    if policy == "noeviction":
        return []
    return [
        Error(
            f"Redis may evict the counters (maxmemory-policy {policy}).",
            hint="Set maxmemory-policy to noeviction: money must not be forgotten.",
            id="iafactory.E021",
        )
    ]
