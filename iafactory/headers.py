"""What browsers are told to refuse, on every answer but the chat's: that is JSON or events, read by programs.

Nothing inline, nothing from another host. The admin alone may evaluate text: Alpine, on which Unfold is built, keeps
its small expressions in attributes and cannot do without.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# A form may lead to the checkout: browsers hold the redirect after it to the same rule.
CHECKOUTS = ("https://pay.chargily.net", "https://pay.chargily.dz")
PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


def checkouts() -> tuple[str, ...]:
    """Chargily's pages; outside production also the stand-in's."""
    base = settings.ENVIRONMENT.get("CHARGILY_BASE_URL", "")
    if settings.PRODUCTION or not base:
        return CHECKOUTS
    parts = urlsplit(base)
    return (*CHECKOUTS, f"{parts.scheme}://{parts.netloc}")


def policy(directives: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


def security_headers(get_response: GetResponse) -> GetResponse:
    page = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "form-action": " ".join(("'self'", *checkouts())),
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    of_pages = policy(page)
    of_the_admin = policy(page | {"script-src": "'self' 'unsafe-eval'", "form-action": "'self'"})
    of_data = policy({"default-src": "'none'", "frame-ancestors": "'none'"})

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            fitting = of_the_admin if request.path_info.startswith("/admin/") else of_pages
        else:
            fitting = of_data
        response.headers.setdefault("Content-Security-Policy", fitting)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if request.path_info.startswith("/api/auth/"):
            # Tokens and keys: not for anyone's cache.
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware
