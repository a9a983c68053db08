from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register

from .providers.registry import connection


@register()
def groq_is_configured(**kwargs: Any) -> list[CheckMessage]:
    if connection("groq"):
        return []
    hint = "Make a key at https://console.groq.com/keys. Until then the free route is the model of last resort."
    return [checks.Warning("GROQ_API_KEY not configured", hint=hint, id="llmrouter.W001")]
