from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register

from .providers.registry import PROVIDERS, can_be_sent, connection, texts_of


@register()
def groq_is_configured(**kwargs: Any) -> list[CheckMessage]:
    if connection("groq"):
        return []
    hint = "Make a key at https://console.groq.com/keys. Until then the free route is the model of last resort."
    return [checks.Warning("GROQ_API_KEY not configured", hint=hint, id="llmrouter.W001")]


@register()
def keys_can_be_sent(**kwargs: Any) -> list[CheckMessage]:
    return [
        checks.Warning(
            f"{provider.variable} has a key that is not used: a character in it cannot be sent",
            hint="Copy the key again from the provider's page; it has letters, digits, - and _ only.",
            id="llmrouter.W002",
        )
        for provider in PROVIDERS.values()
        if not all(map(can_be_sent, texts_of(provider)))
    ]
