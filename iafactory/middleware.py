"""What every request passes, in the order of `settings.MIDDLEWARE`. Functions, because it is the chat's path too."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import cast
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import resolve

from accounts.authentication import Caller
from accounts.errors import AccountsError
from billing.entitlements import entitlements_for
from llmrouter.replies import tell_limits
from usage.errors import NotNow
from usage.standing import limits

from . import logs, staff_login
from .errors import answer, error_events

GetResponse = Callable[[HttpRequest], HttpResponseBase]

API = ("/api/v2/", "/v1/")
BEARERS = ("/api/", "/v1/", "/payment/")
# Taken out of the chain: the chat, to which sessions, CSRF and the rest would cost as much as the call itself; and the
# health check, which is asked for by address and without TLS.
DIRECT = frozenset({"/api/v2/chat", "/v1/chat/completions", "/health"})


def request_ids(get_response: GetResponse) -> GetResponse:
    """Mint the id under which the ledger and the logs know this request, and tell the caller where they stand."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.request_id = str(uuid4())  # type: ignore[attr-defined]
        token = logs.request_id.set(request.request_id)  # type: ignore[attr-defined]
        try:
            response = get_response(request)
        finally:
            logs.request_id.reset(token)
        response.headers["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        # Redis or PostgreSQL could not be asked a moment ago: this answer is not to wait for them a second time.
        away = response.status_code == 503
        if request.path_info.startswith(API) and "X-RateLimit-Limit" not in response.headers and not away:
            tell_where_they_stand(request, response)
        return response

    return middleware


def bounded_bodies(get_response: GetResponse) -> GetResponse:
    """Refuse what is longer than any body of ours before a byte of it is read. Django's own limit does not hold for
    uploaded files, nor for whoever reads the request by himself; the chat's views keep to it."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return answer(request, RequestDataTooBig())
        return get_response(request)

    return middleware


def direct_calls(get_response: GetResponse) -> GetResponse:
    """Call the views of `DIRECT` here, past the rest of the chain; what they raise has its answer in the table."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in DIRECT:
            return get_response(request)
        try:
            response = view_at(request.path_info)(request)
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = error_events(request, cast("Iterator[bytes]", response.streaming_content))
            return response
        except Exception as error:  # noqa: BLE001 (every one has its answer in the table)
            return answer(request, error)

    return middleware


def second_factor_first(get_response: GetResponse) -> GetResponse:
    """A session of staff opens no page before its second factor, whichever page it logged in on."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        # Only pages know sessions; the API knows bearers.
        if request.path_info.startswith(BEARERS) or request.path_info in staff_login.WAYS_OUT:
            return get_response(request)
        if staff_login.is_held_up(request):
            return staff_login.to_second_factor(request)
        return get_response(request)

    return middleware


@cache
def view_at(path: str) -> GetResponse:
    return cast(GetResponse, resolve(path).func)


def tell_where_they_stand(request: HttpRequest, response: HttpResponseBase) -> None:
    """The per-minute limit, on answers that did not pass admission."""
    caller: Caller | None = getattr(request, "caller", None)
    if caller is None:
        return
    try:
        tell_limits(response, limits(caller.user_id, entitlements_for(caller.user_id)))
    except (NotNow, AccountsError):
        # The answer itself stands; where the caller stands cannot be asked now.
        return
