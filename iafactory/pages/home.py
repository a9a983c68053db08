from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from billing.models import Tier

from .shown import page


@page
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What it is, what it costs, and the line to paste."""
    return render(request, "iafactory/home.html", {"tiers": Tier.objects.all(), "api_url": settings.API_URL})


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """For browsers that ask for it by its old name, and on pages that are not ours."""
    return redirect(static("iafactory/favicon.svg"), permanent=True)
