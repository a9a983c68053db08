"""The OpenAPI schema: drf-spectacular's for the API of Django REST framework, the chat's own beside it."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from drf_spectacular.extensions import OpenApiAuthenticationExtension

import llmrouter

CHAT = Path(llmrouter.__file__).with_name("openapi.yaml")
ERROR = {
    "description": "An error; `code` says which, `message` what to do.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A JWT from /api/auth/login, or an API key (iaf_…)."}


def add_the_chat(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """A postprocessing hook: the chat's paths, and to every operation that it may answer an error."""
    chat = described_chat()
    result["paths"] = dict(sorted({**result["paths"], **chat["paths"]}.items()))
    result["components"].setdefault("schemas", {}).update(chat["components"]["schemas"])
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"].setdefault("default", ERROR)
    return result


@cache
def described_chat() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CHAT.read_text())
    return found
