"""One's own invoices, as a page to print and as a PDF; staff who may see invoices read everybody's."""

import re

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.hashers import off_the_loop
from accounts.models import User
from accounts.throttle import limit_attempts
from billing.invoice_pdf import invoice_pdf
from billing.models import Invoice
from billing.paper import paper_of

from .shown import page, user_of

KINDS = {"F": Invoice.Kind.INVOICE, "A": Invoice.Kind.CREDIT_NOTE}
PDF_LIMIT = "60/h"


@page
@login_required
@require_safe
def invoice_page(request: HttpRequest, reference: str) -> HttpResponse:
    paper = paper_of(invoice_for(user_of(request), reference))
    return render(request, "iafactory/invoice.html", {"paper": paper})


@page
@login_required
@require_safe
def invoice_file(request: HttpRequest, reference: str) -> HttpResponse:
    invoice = invoice_for(user_of(request), reference)
    limit_attempts(request, "pdf", PDF_LIMIT, account=str(user_of(request).pk))
    body = off_the_loop(invoice_pdf, paper_of(invoice))
    disposition = {"Content-Disposition": f'attachment; filename="{invoice.reference}.pdf"'}
    return HttpResponse(body, content_type="application/pdf", headers=disposition)


def invoice_for(user: User, reference: str) -> Invoice:
    """Somebody else's is answered like one that does not exist."""
    match = re.fullmatch(r"([FA])-(\d{4})-(\d{6,9})", reference)
    if match is None:
        raise Http404
    kind, year, number = match.groups()
    found = Invoice.objects.filter(kind=KINDS[kind], year=int(year), number=int(number))
    if not (user.is_staff and user.has_perm("billing.view_invoice")):
        found = found.filter(payment__user_id=user.pk)
    invoice: Invoice | None = found.select_related("payment", "credits").first()
    if invoice is None:
        raise Http404
    return invoice
