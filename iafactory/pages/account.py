"""Where somebody stands: tier, messages, keys, payments, invoices, reminders."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import changes
from accounts.errors import TooManyKeys
from accounts.keyring import KEYS_LIMIT, issue_key, keys_of, revoke_key
from accounts.models import User
from accounts.throttle import limit_attempts
from billing import checkout
from billing.entitlements import entitlements_for
from billing.models import Invoice, PaymentTransaction, UserTier
from billing.offers import offers_for
from iafactory import errors
from usage import standing
from usage.errors import NotNow

from .forms import NewKeyForm
from .shown import page, user_of, why_closed

PAYMENTS_SHOWN = 20


@page
@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return show_account(request, NewKeyForm())


def show_account(request: HttpRequest, form: NewKeyForm, *, new_key: str = "", status: int = 200) -> HttpResponse:
    user = user_of(request)
    changes.look(user.pk)
    entitlement = entitlements_for(user.pk)
    held = UserTier.objects.filter(user=user, tier_id=entitlement.tier).first()
    offers = offers_for(user.pk)
    payments = list(PaymentTransaction.objects.filter(user=user)[:PAYMENTS_SHOWN])
    context = {
        "entitlement": entitlement,
        "held": held,
        "today": today_of(user),
        "keys": keys_of(user.pk),
        "form": form,
        "new_key": new_key,
        "offers": [offer for offer in offers if offer.can_be_bought],
        "closed": why_closed(request, offers),
        "payments": payments,
        "can_go_on": [payment.pk for payment in payments if checkout.can_go_on(payment)],
        "invoices": Invoice.objects.filter(payment__user=user).select_related("payment"),
    }
    return render(request, "iafactory/account.html", context, status=status)


def today_of(user: User) -> standing.Today | None:
    """None while the counters cannot be asked: the rest of the page does not wait for them."""
    try:
        return standing.today(user.pk, entitlements_for(user.pk))
    except NotNow:
        return None


@page
@login_required
@require_POST
def create_key(request: HttpRequest) -> HttpResponse:
    """The key stands in this answer and nowhere else: a redirect would have to keep it in the session's table."""
    user, form = user_of(request), NewKeyForm(request.POST)
    limit_attempts(request, "keys", KEYS_LIMIT, account=str(user.pk))
    if not form.is_valid():
        return show_account(request, form, status=400)
    try:
        _row, text = issue_key(user_id=user.pk, name=form.cleaned_data["name"])
    except TooManyKeys as error:
        form.add_error("name", errors.sentence(request, errors.find(error), error))
        return show_account(request, form, status=400)
    return show_account(request, NewKeyForm(), new_key=text, status=201)


@page
@login_required
@require_POST
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    limit_attempts(request, "keys", KEYS_LIMIT, account=str(user_of(request).pk))
    if not revoke_key(user_id=user_of(request).pk, key_id=key_id):
        raise Http404
    messages.success(request, _("The key is revoked. Whatever still uses it is refused from now on."))
    return redirect("account")
