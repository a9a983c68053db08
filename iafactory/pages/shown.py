"""A page for whatever was raised: the same table of errors as the API's, shown to a person."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from accounts.models import User
from billing.errors import NotForSale
from billing.offers import Offer
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
    return errors.logged(request, response, error)


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


def why_closed(request: HttpRequest, offers: Iterable[Offer]) -> str:
    """Where no tier can be bought: one sentence that says why; empty where one can."""
    offers = list(offers)
    if any(offer.can_be_bought for offer in offers):
        return ""
    # That a tier is never sold says nothing about the others.
    reasons = (offer.refusal for offer in offers if not isinstance(offer.refusal, NotForSale))
    refusal = next((reason for reason in reasons if reason is not None), None)
    return "" if refusal is None else errors.sentence(request, errors.find(refusal), refusal)


def user_of(request: HttpRequest) -> User:
    """Who is signed in, behind `login_required`."""
    assert isinstance(request.user, User)
    return request.user
