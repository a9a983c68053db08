"""JSON in and out of Django REST framework, by the same library as the chat's."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

import orjson
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import NotAcceptable, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from llmrouter.bodies import decoded, parsed_json
from llmrouter.errors import InvalidChat
from llmrouter.replies import to_json

# Forms in JSON: an address, a password, a reason. (The chat has its own door, for its images.)
MOST_BYTES = 64 * 1024


class JsonParser(BaseParser):
    """Refuses nesting without end, on which the standard library's parser exhausts the stack."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        # The framework reads whatever comes; Django's own limit does not hold here.
        body = stream.read(MOST_BYTES + 1)
        request = parser_context["request"] if parser_context else None
        codings = request.META.get("HTTP_CONTENT_ENCODING") if request else None
        if len(body) > MOST_BYTES:
            raise RequestDataTooBig
        try:
            return parsed_json(decoded(body, codings, MOST_BYTES) if codings else body)
        except (InvalidChat, orjson.JSONDecodeError) as error:
            raise ParseError from error


class JsonRenderer(BaseRenderer):
    """Prints Decimal as a number: the framework's own makes it text."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else to_json(data)


class WhatWeHave(DefaultContentNegotiation):
    """Who accepts only pages (a browser that was given an address of the API) gets the JSON that there is."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        offered = list(renderers)
        try:
            chosen: tuple[BaseRenderer, str] = super().select_renderer(request, offered, format_suffix)
        except NotAcceptable:
            return offered[0], str(offered[0].media_type)
        return chosen
