"""What an invoice or credit note says, in its own language: read by the page and by the PDF alike.

The mentions are those of executive decree 05-468: seller and buyer, date, number, price before tax, rate and amount of
the TVA, total in figures and in words.
"""

from dataclasses import dataclass
from decimal import Decimal

from django.utils import translation
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from .models import Invoice
from .wording import dinars, dinars_in_words, tier_title

Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Paper:
    language: str
    title: str
    facts: tuple[Row, ...]
    seller_title: str
    seller: tuple[Row, ...]
    buyer_title: str
    buyer: tuple[Row, ...]
    heads: tuple[str, str, str, str]
    sold: tuple[str, str, str, str]
    totals: tuple[Row, ...]
    words: str
    notes: tuple[str, ...]
    reference: str

    @property
    def right_to_left(self) -> bool:
        return self.language == "ar"


def paper_of(invoice: Invoice) -> Paper:
    with translation.override(invoice.language):
        return _paper(invoice)


def _paper(invoice: Invoice) -> Paper:
    credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    return Paper(
        language=invoice.language,
        title=_("Credit note") if credit else _("Invoice"),
        facts=_facts(invoice),
        seller_title=_("Seller"),
        seller=_seller(invoice.seller),
        buyer_title=_("Customer"),
        buyer=(
            (_("E-mail"), str(invoice.buyer.get("email", ""))),
            (_("Customer no."), str(invoice.buyer.get("id", ""))),
        ),
        heads=(_("Description"), _("Quantity"), _("Unit price before tax"), _("Amount before tax")),
        sold=(_sold(invoice), "1", dinars(invoice.amount_ht), dinars(invoice.amount_ht)),
        totals=(
            (_("Total before tax (HT)"), dinars(invoice.amount_ht)),
            (_("TVA %(rate)s %%") % {"rate": _rate(invoice.tva_percent)}, dinars(invoice.amount_tva)),
            (_("Total with tax (TTC)"), dinars(invoice.amount_ttc)),
        ),
        words=_words(invoice, credit=credit),
        notes=_notes(invoice, credit=credit),
        reference=invoice.reference,
    )


def _facts(invoice: Invoice) -> tuple[Row, ...]:
    facts = [(_("Number"), invoice.reference), (_("Date"), day(invoice.issued_at))]
    if invoice.credits is not None:
        facts.append((_("Credits invoice"), f"{invoice.credits.reference} ({day(invoice.credits.issued_at)})"))
    return tuple(facts)


def _seller(seller: dict[str, str]) -> tuple[Row, ...]:
    labels = {
        "name": "",
        "address": _("Address"),
        "rc": _("Trade register (RC)"),
        "nif": _("Tax number (NIF)"),
        "nis": _("Statistical number (NIS)"),
        "ai": _("Tax article (AI)"),
        "email": _("E-mail"),
        "phone": _("Telephone"),
    }
    return tuple((label, seller[name]) for name, label in labels.items() if seller.get(name))


def _sold(invoice: Invoice) -> str:
    return _("Subscription “%(tier)s”, %(days)s days, from %(from)s to %(until)s") % {
        "tier": tier_title(invoice.tier),
        "days": invoice.days,
        "from": day(invoice.starts_at),
        "until": day(invoice.ends_at),
    }


def _words(invoice: Invoice, *, credit: bool) -> str:
    # Prices are whole dinars, tax included.
    words = {"words": dinars_in_words(int(invoice.amount_ttc))}
    if credit:
        return _("This credit note amounts to %(words)s.") % words
    return _("This invoice amounts to %(words)s.") % words


def _notes(invoice: Invoice, *, credit: bool) -> tuple[str, ...]:
    if credit:
        return (_("Reason: %(reason)s") % {"reason": invoice.reason},) if invoice.reason else ()
    method = {"edahabia": "EDAHABIA", "cib": "CIB"}.get(invoice.payment.payment_method, "EDAHABIA / CIB")
    return (_("Paid on %(day)s by card (%(method)s).") % {"day": day(invoice.issued_at), "method": method},)


def _rate(percent: Decimal) -> str:
    """19.00 -> "19"; 9.50 -> "9.5"."""
    return f"{percent.normalize():f}"


def day(instant: object) -> str:
    """The day in Algiers, in figures: 22/11/2026."""
    return date_format(localtime(instant), "d/m/Y")  # type: ignore[arg-type]
