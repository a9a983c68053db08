"""How staff come in by the browser: the password on the admin's own page, then the second factor on ours.

Until the second factor is passed the session opens nothing but this page and the way out, so nobody can leave it out by
coming in through another login page.
"""

from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

import segno
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache

from accounts import audit, second_factor
from accounts.errors import BadSecondFactor, TooManyAttempts
from accounts.models import RecoveryCode, SecondFactor, User
from accounts.throttle import limit_logins

from .errors import ERRORS, answer, sentence

# What a session may reach before its second factor: the admin's script of translations belongs to our page.
WAYS_OUT = frozenset({"/admin/second-factor", "/admin/login/", "/admin/logout/", "/admin/jsi18n/"})


def limited_admin_login(request: HttpRequest) -> HttpResponseBase:
    """Django Admin's login page, under the same limits as the API's: staff passwords are worth more guesses."""
    if request.method != "POST":
        return to_second_factor(request) if is_held_up(request) else admin.site.login(request)
    try:
        limit_logins(request, username=request.POST.get("username", ""))
    except TooManyAttempts as error:
        return answer(request, error)
    response = admin.site.login(request)
    if response.status_code == 302 and isinstance(request.user, User):
        audit.record("login.password", by=request.user, subject=request.user, request=request)
    return response


def is_held_up(request: HttpRequest) -> bool:
    """Whether this session has still to pass the second factor."""
    user = request.user
    return isinstance(user, User) and second_factor.is_needed(user) and not has_passed(request, user)


def has_passed(request: HttpRequest, user: User) -> bool:
    # By the factor's id: one that was reset and set up anew has to be passed again.
    passed = request.session.get(second_factor.SESSION_KEY)
    return passed is not None and SecondFactor.objects.filter(pk=passed, user=user, confirmed_at__isnull=False).exists()


def to_second_factor(request: HttpRequest) -> HttpResponseRedirect:
    asked = request.GET.get("next", "") if request.path_info == "/admin/login/" else request.get_full_path()
    query = f"?{urlencode({'next': asked})}" if asked and request.method in ("GET", "POST") else ""
    return HttpResponseRedirect(reverse("second-factor") + query)


@dataclass(slots=True)
class Page:
    """What the page shows of one visit."""

    user: User
    stage: str
    next: str
    error: str = ""
    codes: tuple[str, ...] = ()


@never_cache
def second_factor_page(request: HttpRequest) -> HttpResponseBase:
    user = request.user
    if not isinstance(user, User) or not user.is_staff:
        return HttpResponseRedirect(f"{reverse('admin:login')}?{urlencode({'next': request.path})}")
    page = Page(user, stage_of(request, user), way_on(request))
    if request.method == "POST":
        try:
            return act(request, page)
        except (BadSecondFactor, TooManyAttempts) as error:
            page.error = sentence(request, ERRORS[type(error)], error)
    return shown(request, page)


def stage_of(request: HttpRequest, user: User) -> str:
    if not second_factor.is_set_up(user):
        return "set_up"
    return "renew" if has_passed(request, user) else "ask"


def act(request: HttpRequest, page: Page) -> HttpResponseBase:
    code = request.POST.get("code", "")[:32]
    if page.stage == "set_up":
        page.codes = tuple(second_factor.confirm(request, user=page.user, code=code))
    elif page.stage == "renew":
        page.codes = tuple(second_factor.renew_recovery_codes(request, user=page.user, code=code))
    else:
        second_factor.accept(request, user=page.user, code=code)
    let_in(request, page.user)
    if not page.codes:
        return HttpResponseRedirect(page.next)
    page.stage = "codes"
    return shown(request, page)


def let_in(request: HttpRequest, user: User) -> None:
    request.session[second_factor.SESSION_KEY] = SecondFactor.objects.get(user=user).pk
    # Whoever knew the session's id before its rights grew knows it no more.
    request.session.cycle_key()


def shown(request: HttpRequest, page: Page) -> HttpResponse:
    context = {**admin.site.each_context(request), "page": page, "title": "IA Factory"}
    if page.stage == "set_up":
        factor = second_factor.begin(request, user=page.user)
        context |= {"qr": qr_of(second_factor.address_of(factor)), "secret": in_fours(second_factor.base32_of(factor))}
    if page.stage == "renew":
        context["left"] = RecoveryCode.objects.filter(user=page.user).count()
    return TemplateResponse(request, "iafactory/second_factor.html", context, status=400 if page.error else 200)


def qr_of(text: str) -> str:
    svg = segno.make(text, error="m", micro=False).svg_inline(border=4, light="#fff", omitsize=True)
    # Ours: made of squares, nothing of the text is in it.
    return cast(str, mark_safe(svg))  # noqa: S308


def in_fours(text: str) -> str:
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))


def way_on(request: HttpRequest) -> str:
    """Where to go afterwards: a page of ours."""
    asked = request.GET.get("next", "")
    if url_has_allowed_host_and_scheme(asked, allowed_hosts=None, require_https=request.is_secure()):
        return asked
    return reverse("admin:index")
