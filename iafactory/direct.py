"""The chat's way through Django, past what it does not need: sessions, CSRF and the rest of the chain, and the signals
around a request, would cost as much as the call itself. And the health check's, which is asked for by address and
without TLS."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, cast

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import resolve

from accounts.fresh import release_connection

from .errors import answer, error_events
from .middleware import GetResponse

DIRECT = frozenset({"/api/v2/chat", "/v1/chat/completions", "/health"})


def direct_calls(get_response: GetResponse) -> GetResponse:
    """Middleware that calls the views of `DIRECT` itself; what they raise has its answer in the table."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in DIRECT:
            return get_response(request)
        try:
            response = view_at(request.path_info)(request)
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = error_events(request, cast("Iterator[bytes]", response.streaming_content))
            return response
        except Exception as error:  # noqa: BLE001 (the table knows it, or it is logged and answered 500)
            return answer(request, error)

    return middleware


@cache
def view_at(path: str) -> GetResponse:
    return cast(GetResponse, resolve(path).func)


def without_signals(django: WSGIHandler) -> Callable[..., Iterable[bytes]]:
    """The WSGI application. Of what hangs on the signals around a request (old connections, caches, the log of queries)
    a chat needs only that its connection goes back to the pool."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] not in DIRECT:
            return django(environ, start_response)
        try:
            response = django.get_response(WSGIRequest(environ))
        finally:
            release_connection()
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        # A stream has to be told when its client is gone; closing a whole answer would but send a signal.
        return [response.content] if isinstance(response, HttpResponse) else response

    return application
