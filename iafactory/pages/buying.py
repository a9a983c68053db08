"""The purchase: the step before paying, the way to Chargily's page, and what the browser finds when it comes back.

Nothing here grants a tier. The page to which Chargily sends the browser asks the server what became of the payment, and
the server asks Chargily.
"""

import re

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.throttle import limit_attempts
from billing import checkout, offers, subscriptions
from billing.errors import AlreadyPaid, NothingToCancel
from billing.invoices import without_tax
from billing.links import BadLink, read_renewal
from billing.models import PaymentTransaction
from iafactory import errors

from .shown import page, user_of

BUY_LIMIT = "30/h"
# By network address, which many telephones share; Chargily itself is asked at most once in five seconds for a payment.
STATE_LIMIT = "1200/m"
CHECKOUT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


@page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def buy(request: HttpRequest, tier: str) -> HttpResponse:
    return purchase(request, user_of(request), tier)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def renew(request: HttpRequest, token: str) -> HttpResponse:
    """The link of a reminder: who has it may pay for the user whom it names, and do nothing else."""
    try:
        user_id, tier = read_renewal(token)
    except BadLink:
        return render(request, "iafactory/renew_expired.html", status=410)
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise Http404
    return purchase(request, user, tier)


def purchase(request: HttpRequest, user: User, tier: str) -> HttpResponse:
    """Show what it costs and gives; on the button, make the checkout. A GET makes none: mail programs follow links."""
    quote = offers.quote(user_id=user.pk, tier=tier)
    if request.method != "POST":
        return show_quote(request, tier, quote)
    if request.POST.get("amount") != str(quote.amount_dzd):
        # Staff changed the price while the page was open: nobody pays another price than the one shown.
        messages.warning(request, _("The price has changed. Please look at it again."))
        return show_quote(request, tier, quote, status=409)
    limit_attempts(request, "buy", BUY_LIMIT, account=str(user.pk))
    try:
        payment = checkout.subscribe(user_id=user.pk, tier=tier, language=get_language() or "fr")
    except AlreadyPaid:
        messages.success(request, _("This payment has arrived already: your tier is in force."))
        return redirect("account")
    return HttpResponseRedirect(payment.checkout_url)


def show_quote(request: HttpRequest, tier: str, quote: subscriptions.Quote, status: int = 200) -> HttpResponse:
    before_tax, tax = without_tax(quote.amount_dzd, settings.TVA_PERCENT)
    context = {"tier": tier, "quote": quote, "terms": quote.terms, "before_tax": before_tax, "tax": tax}
    closed = offers.refusal_of_the_gateway()
    # No button for what cannot be bought: the sentence of the checkout's own error stands there.
    context |= {"closed": errors.sentence(request, errors.find(closed), closed) if closed else ""}
    context |= {"tva_percent": f"{settings.TVA_PERCENT.normalize():f}"}
    return render(request, "iafactory/buy.html", context, status=status)


@page
@login_required
@require_POST
def cancel_reminders(request: HttpRequest) -> HttpResponse:
    try:
        subscriptions.cancel(user_id=user_of(request).pk)
    except NothingToCancel:
        messages.warning(request, _("There is nothing to cancel: no paid tier is in force."))
    else:
        messages.success(request, _("No more reminders. Your tier stays until the end of what is paid."))
    return redirect("account")


@page
@require_safe
def back_from_chargily(request: HttpRequest) -> HttpResponse:
    """Both addresses, success and failure: what became of the payment decides what is shown, not the address."""
    payment = payment_named(request)
    if payment is not None:
        checkout.look(payment)
    own = payment is not None and payment.user_id == request.user.pk
    context = {
        "payment": payment,
        # First: it may find that the payment has arrived, or was closed.
        "pay_at": payment.checkout_url if payment is not None and own and checkout.can_go_on(payment) else "",
        "state": state_of(payment),
        "own": own,
        "invoice": payment.invoices.first() if payment is not None else None,
        "gave_up": request.resolver_match is not None and request.resolver_match.url_name == "payment-failure",
    }
    return render(request, "iafactory/payment.html", context)


@page
@require_safe
def payment_state(request: HttpRequest) -> HttpResponse:
    """For the page's script. A checkout's id is not to be guessed; who has it learns the state and nothing more."""
    limit_attempts(request, "payment-state", STATE_LIMIT)
    payment = payment_named(request)
    if payment is None:
        return JsonResponse({"state": "unknown"}, status=404)
    checkout.look(payment)
    return JsonResponse({"state": state_of(payment)})


def payment_named(request: HttpRequest) -> PaymentTransaction | None:
    """By `?checkout_id=`. Chargily may leave it out or send the word "null": then the visitor's own latest payment."""
    named = request.GET.get("checkout_id", "")
    if named not in ("", "null", "undefined"):
        # What is no id is not asked for: PostgreSQL refuses some characters with an error.
        return PaymentTransaction.objects.filter(checkout_id=named).first() if CHECKOUT_ID.fullmatch(named) else None
    if not isinstance(request.user, User):
        return None
    return PaymentTransaction.objects.filter(user=request.user).exclude(checkout_id=None).first()


def state_of(payment: PaymentTransaction | None) -> str:
    return "unknown" if payment is None else str(payment.status)
