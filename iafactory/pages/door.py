"""Sign up, sign in, sign out, choose a language."""

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import audit
from accounts.errors import AddressTaken, BadCredentials, TooManyAttempts
from accounts.joining import count_sign_up, right_password, sign_up
from accounts.models import User
from iafactory import errors

from .forms import SignInForm, SignUpForm
from .shown import page


@page
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up_page(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return HttpResponseRedirect(onward(request))
    form = SignUpForm(request.POST or None)
    if request.method != "POST":
        return door(request, form)
    try:
        count_sign_up(request)
        if not form.is_valid():
            return door(request, form, 400)
        user = sign_up(request, **form.cleaned_data, language=translation.get_language() or "fr")
    except AddressTaken:
        # Where the password is right as well, its owner is at the door, and comes in. Otherwise the sentence leaves
        # open what was wrong; who tries addresses is stopped by the limit on sign-ups.
        return let_in_or(request, form, _("This account could not be made. If you have one already, sign in."))
    except TooManyAttempts as error:
        return refused(request, form, error)
    return let_in(request, user)


@page
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_page(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return HttpResponseRedirect(onward(request))
    form = SignInForm(request.POST or None)
    if request.method != "POST":
        return door(request, form)
    if not form.is_valid():
        return door(request, form, 400)
    return let_in_or(request, form, _("This address and this password do not go together."))


def let_in_or(request: HttpRequest, form: SignInForm, sentence: str) -> HttpResponse:
    """In, with the right password; else the form again with the sentence."""
    try:
        return let_in(request, right_password(request, **form.cleaned_data))
    except BadCredentials:
        form.add_error(None, sentence)
        return door(request, form, 400)
    except TooManyAttempts as error:
        return refused(request, form, error)


def let_in(request: HttpRequest, user: User) -> HttpResponse:
    login(request, user)
    if user.is_staff:
        audit.record("login.password", by=user, subject=user, request=request)
    response = HttpResponseRedirect(onward(request))
    remember_language(response, user.language)
    return response


def refused(request: HttpRequest, form: SignInForm, error: TooManyAttempts) -> HttpResponse:
    form.add_error(None, errors.sentence(request, errors.find(error), error))
    response = door(request, form, 429)
    response.headers["Retry-After"] = str(error.retry_after)
    return response


def door(request: HttpRequest, form: SignInForm, status: int = 200) -> HttpResponse:
    template = "iafactory/sign_up.html" if isinstance(form, SignUpForm) else "iafactory/sign_in.html"
    return render(request, template, {"form": form, "next": wanted(request)}, status=status)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("home")


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """For this browser, and for the mails of whoever is signed in."""
    response = HttpResponseRedirect(onward(request, otherwise="home"))
    language = request.POST.get("language", "")
    if language in User.Language.values:
        remember_language(response, language)
        if isinstance(request.user, User):
            User.objects.filter(pk=request.user.pk).update(language=language)
    return response


def remember_language(response: HttpResponse, language: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 24 * 3600,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )


def onward(request: HttpRequest, otherwise: str = "account") -> str:
    return wanted(request) or redirect(otherwise).url


def wanted(request: HttpRequest) -> str:
    """The page that somebody was on the way to; an address on another site is not one."""
    address = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if ours else ""
