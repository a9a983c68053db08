from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer

from llmrouter.replies import to_json


class JsonRenderer(BaseRenderer):
    """Django REST framework's answers through the same JSON as the chat's: its own prints Decimal as text."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else to_json(data)
