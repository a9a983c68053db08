from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register

from .providers.registry import connection, connections


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
            f"{found.provider.variable} has a key that is not used: a character in it cannot be sent",
            hint="Copy the key again from the provider's page: a character in it is not plain ASCII, or invisible.",
            id="llmrouter.W002",
        )
        for found in connections()
        if found.usable_keys != found.keys
    ]
