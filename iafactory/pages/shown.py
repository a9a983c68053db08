"""A page for whatever was raised: the same table of errors as the API's, shown to a person."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from accounts.models import User
from iafactory import errors

P = ParamSpec("P")


def page(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """A view whose known failures are pages, and whose answers stay out of caches."""

    @wraps(view)
    def shown(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            response = view(request, *args, **kwargs)
        except Exception as error:
            if errors.find(error) is errors.UNEXPECTED:
                raise
            response = error_page(request, error)
        add_never_cache_headers(response)
        return response

    return shown


def error_page(request: HttpRequest, error: BaseException) -> HttpResponse:
    known = errors.find(error)
    context = {"status": known.status, "sentence": errors.sentence(request, known, error)}
    response = render(request, "iafactory/error.html", context, status=known.status)
    if retry_after := errors.retry_after_of(error, known):
        response.headers["Retry-After"] = str(retry_after)
    return response


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A page for a browser that asked for one; JSON for programs, and for everything under the API's addresses."""
    return error_page(request, exception) if wants_a_page(request) else errors.not_found(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form came from elsewhere, or from a page that was open for too long."""
    if not wants_a_page(request):
        return errors.csrf_failure(request, reason)
    return render(request, "iafactory/csrf.html", status=403)


def wants_a_page(request: HttpRequest) -> bool:
    under_the_api = request.path_info.startswith(("/api/", "/v1/"))
    return not under_the_api and "text/html" in request.headers.get("Accept", "")


def user_of(request: HttpRequest) -> User:
    """Who is signed in, behind `login_required`."""
    assert isinstance(request.user, User)
    return request.user
