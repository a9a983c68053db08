from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from accounts.models import User
from billing.offers import offers_for

from .shown import page, why_closed


@page
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What it is, what it costs, and the line to paste."""
    offers = offers_for(request.user.pk if isinstance(request.user, User) else None)
    context = {"offers": offers, "api_url": settings.API_URL, "closed": why_closed(request, offers)}
    return render(request, "iafactory/home.html", context)


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """For browsers that ask for it by its old name, and on pages that are not ours."""
    return redirect(static("iafactory/favicon.svg"), permanent=True)
