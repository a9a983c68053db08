"""The OpenAPI schema: drf-spectacular's for the API of Django REST framework, the chat's own beside it."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

import llmrouter
from accounts.hashers import off_the_loop
from accounts.once import Once
from llmrouter.replies import to_json

CHAT = Path(llmrouter.__file__).with_name("openapi.yaml")
BEARER = (
    "A JWT from /api/auth/login. The chat, the models and the usage also take an API key (iaf_…); keys, account and "
    "payments do not."
)
ERROR = {
    "description": "An error; `code` says which, `message` what to do.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": BEARER}


def add_the_chat(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """A postprocessing hook: the chat's paths, and to every operation that it may answer an error."""
    chat = described_chat()
    result["paths"] = dict(sorted({**result["paths"], **chat["paths"]}.items()))
    for kind, described in chat["components"].items():
        result["components"].setdefault(kind, {}).update(described)
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"].setdefault("default", ERROR)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["schema"].get("type") == "integer":
                    # Ids: an address with another number in it leads nowhere.
                    parameter["schema"]["minimum"] = 1
    return result


@cache
def described_chat() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CHAT.read_text())
    return found


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The schema as YAML, or as JSON for whoever prefers it. Made once: it takes hundreds of milliseconds."""
    if "json" in request.headers.get("Accept", "") or request.GET.get("format") == "json":
        return HttpResponse(_as_json(), content_type="application/vnd.oai.openapi+json")
    return HttpResponse(_as_yaml(), content_type="application/vnd.oai.openapi; charset=utf-8")


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    return render(request, "iafactory/docs.html")


def described() -> dict[str, Any]:
    """The whole schema, in English whoever asks first."""
    with translation.override("en"):
        found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
        return found


def _yaml() -> bytes:
    rendered: bytes = OpenApiYamlRenderer().render(described())  # type: ignore[no-untyped-call]
    return rendered


_as_json: Once[bytes] = Once(lambda: off_the_loop(lambda: to_json(described())))
_as_yaml: Once[bytes] = Once(lambda: off_the_loop(_yaml))
