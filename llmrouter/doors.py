"""What every door of the chat shares: who comes in, and the way that pieces go out."""

from collections.abc import Iterator, Sequence
from functools import partial

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import MethodNotAllowed

from accounts import changes
from accounts.authentication import authenticate
from accounts.plain import is_plain

from .chat import Streamed
from .journey import Origin

LONGEST_CLIENT_ID = 128
# With its charset: `requests` reads a text without one as Latin-1, in which a byte of Arabic letters ends a line.
EVENTS = "text/event-stream; charset=utf-8"


class OnlyPost(MethodNotAllowed):
    allowed = "POST"


def origin_of(request: HttpRequest) -> Origin:
    """Who calls, by which door; the caller stays on the request for the middleware."""
    if request.method != "POST":
        raise OnlyPost(request.method or "")
    since = changes.now()
    identify = partial(authenticate, request.META.get("HTTP_AUTHORIZATION"))
    request.caller = caller = identify()  # type: ignore[attr-defined]
    request_id: str = request.request_id  # type: ignore[attr-defined]
    return Origin(caller, request.path_info, request_id, client_request_id(request), since, identify)


def client_request_id(request: HttpRequest) -> str:
    """The client's own id, kept beside ours; what is not plain short text is not kept."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if is_plain(given) and len(given) <= LONGEST_CLIENT_ID else ""


def event_stream(events: Iterator[bytes], streamed: Streamed) -> StreamingHttpResponse:
    """Server-sent events that no proxy on the way holds back."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(Events(events, streamed), content_type=EVENTS, headers=headers)


def tell_what_was_ignored(response: HttpResponseBase, names: Sequence[str]) -> None:
    """No field of a request is ignored without a word."""
    if names:
        response.headers["X-IAF-Ignored"] = ", ".join(names)


class Events:
    """The bytes of a stream. Closing them closes the stream, even where not one of them was asked for: a generator
    that never began would not."""

    def __init__(self, events: Iterator[bytes], streamed: Streamed) -> None:
        self._events = events
        self._streamed = streamed

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        self._streamed.close()
