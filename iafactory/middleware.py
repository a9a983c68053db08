"""What every request passes, in the order of `settings.MIDDLEWARE`. Functions, because it is the chat's path too."""

import re
from collections.abc import Callable
from typing import cast
from urllib.parse import SplitResult
from uuid import uuid4

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers
from rest_framework.authentication import SessionAuthentication
from rest_framework.views import APIView

from accounts import changes
from accounts.authentication import Caller
from accounts.errors import AccountsError
from billing.entitlements import entitlements_for
from llmrouter.replies import tell_limits
from usage.errors import NotNow
from usage.standing import limits

from . import logs, staff_login
from .errors import UnusableText, answer

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Digits of a Content-Length.
LONGEST_LENGTH = 20
API = ("/api/v2/", "/v1/")
# What a browser may ask for in a preflight: names of headers, and no more of them than fit into one of ours.
HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4000}")


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
        # Credentials may turn out to be revoked after they were found in memory: then this caller is nobody.
        stranger = response.status_code == 401
        shown = "X-RateLimit-Limit" in response.headers
        if request.path_info.startswith(API) and not (shown or away or stranger):
            tell_where_they_stand(request, response)
        return response

    return middleware


class AnyOrigin(CorsMiddleware):
    """For the API of programs: a page of any origin may call it, with any header that its SDK sends. Only a bearer
    token opens it, no cookie: a foreign page has no token that its user did not give it. So credentials are never
    allowed."""

    def origin_found_in_white_lists(self, origin: str, url: SplitResult) -> bool:
        return True

    def add_response_headers(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        super().add_response_headers(request, response)
        asked = request.headers.get("Access-Control-Request-Headers", "")
        if request.method == "OPTIONS" and HEADER_NAMES.fullmatch(asked):
            # Word for word, for `*` does not cover Authorization, and old browsers do not know it.
            response.headers["Access-Control-Allow-Headers"] = asked
            patch_vary_headers(response, ("Access-Control-Request-Headers",))
        return response


def cors(get_response: GetResponse) -> GetResponse:
    """django-cors-headers, but for a POST that is no page's: it has nothing to say to that, and no cache keeps the
    answer, so that none has to be told what it varies with."""
    from_pages, from_anywhere = CorsMiddleware(get_response), AnyOrigin(get_response)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.method == "POST" and "HTTP_ORIGIN" not in request.META:
            return get_response(request)
        fitting = from_anywhere if request.path_info.startswith(API) else from_pages
        return cast(HttpResponseBase, fitting(request))

    return middleware


def bounded_bodies(get_response: GetResponse) -> GetResponse:
    """Refuse what is longer than any body of ours before a byte of it is read. Django's own limit does not hold for
    uploaded files, nor for whoever reads the request by himself; the chat's views keep to it."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or "0"
        # Python refuses to read an integer of thousands of digits.
        if not length.isdecimal() or len(length) > LONGEST_LENGTH or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return answer(request, RequestDataTooBig())
        return get_response(request)

    return middleware


def text_without_nul(get_response: GetResponse) -> GetResponse:
    """Refuse NUL in cookies, and in addresses of the admin. PostgreSQL stores no NUL: a query with one would end in a
    500. Other views answer such an address as one that names nothing; forms and serializers refuse it in bodies."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if holds_nul(request):
            return answer(request, UnusableText())
        return get_response(request)

    return middleware


def holds_nul(request: HttpRequest) -> bool:
    query = request.META.get("QUERY_STRING", "")
    # A cookie in quotes may hold any character as an octal escape: `"\\000"`.
    cookies = any("\0" in value for value in request.COOKIES.values())
    address = "\0" in request.path_info or "%00" in query or "\0" in query
    return cookies or (address and is_of_the_admin(request.path_info))


def is_of_the_admin(path: str) -> bool:
    """Django's own pages, which take filters and ids as they come; not the dashboard beside them."""
    return path.startswith("/admin/") and not path.startswith("/admin/dashboard")


def second_factor_first(get_response: GetResponse) -> GetResponse:
    """A session of staff opens no page before its second factor, whichever page it logged in on."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if is_open_before_second_factor(request) or not staff_login.is_held_up(request):
            return get_response(request)
        return staff_login.to_second_factor(request)

    return middleware


def is_open_before_second_factor(request: HttpRequest) -> bool:
    """A request without a session, a page that the login itself needs, or a view that reads no session.

    The view decides, not the beginning of the path: pages and API share prefixes, and a page that is not named here
    must be closed."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or request.path_info in staff_login.WAYS_OUT:
        return True
    return takes_bearers_only(request.path_info)


def takes_bearers_only(path: str) -> bool:
    try:
        view = getattr(resolve(path).func, "cls", None)
    except Resolver404:
        return False
    if view is None or not issubclass(view, APIView):
        return False
    return not any(issubclass(each, SessionAuthentication) for each in view.authentication_classes)


def tell_where_they_stand(request: HttpRequest, response: HttpResponseBase) -> None:
    """The per-minute limit, on answers that did not pass admission."""
    caller: Caller | None = getattr(request, "caller", None)
    if caller is None or changes.is_blind():
        return
    try:
        tell_limits(response, limits(caller.user_id, entitlements_for(caller.user_id)))
    except (NotNow, AccountsError):
        # The answer itself stands; where the caller stands cannot be asked now.
        return
