"""Invoices for people: the page, the PDF, the words; one's own only."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pypdfium2
import pytest
from django.test import Client
from django.utils import translation

from accounts.models import User
from billing import refunds, wording
from billing.invoice_pdf import invoice_pdf
from billing.models import Invoice, PaymentTransaction
from billing.paper import paper_of
from conftest import person

pytestmark = pytest.mark.django_db

SELLER = {
    "name": "IA Factory Algérie SARL",
    "address": "12 rue Didouche Mourad, 16000 Alger",
    "rc": "16/00-1234567 B 26",
    "nif": "002616123456789",
    "nis": "",
    "ai": "16012345678",
    "email": "facturation@iafactory.dz",
    "phone": "+213 21 00 00 00",
}


@pytest.fixture
def invoice(charlie: User, begin: Callable[..., PaymentTransaction], webhooks: Any, settings: Any) -> Invoice:
    """Charlie's, for one month of `student`."""
    settings.SELLER = SELLER
    webhooks.pay_and_tell(begin(charlie))
    return Invoice.objects.get()


def browser(user: User | None) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    if user is not None:
        client.force_login(user)
    return client


def text_of(pdf: bytes) -> str:
    text: str = pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_range()
    return " ".join(text.replace("\u00a0", " ").split())


def test_the_page_and_the_pdf_bear_the_mentions(charlie: User, invoice: Invoice) -> None:
    path = f"/account/invoices/{invoice.reference}"
    page = browser(charlie).get(path)
    assert page.status_code == 200
    file = browser(charlie).get(f"{path}.pdf")
    assert (file["Content-Type"], "no-store" in file["Cache-Control"]) == ("application/pdf", True)
    assert file["Content-Disposition"] == f'attachment; filename="{invoice.reference}.pdf"'
    for text in (page.content.decode().replace("\u00a0", " "), text_of(file.content)):
        for mention in (
            invoice.reference,
            *(value for value in SELLER.values() if value),
            charlie.email,
            "1 336,13",
            "253,87",
            "1 590,00",
            "19 %",
            "mille cinq cent quatre-vingt-dix dinars algériens",
        ):
            assert mention in text


@pytest.mark.parametrize("ending", ["", ".pdf"])
def test_an_invoice_is_for_its_owner_and_staff(
    ending: str, invoice: Invoice, charlie: User, alice: User, sara: User
) -> None:
    path = f"/account/invoices/{invoice.reference}{ending}"
    assert browser(None).get(path).status_code == 302
    assert browser(charlie).get(path).status_code == 200
    assert browser(sara).get(path).status_code == 200
    clerk = person("clerk@example.dz", is_staff=True)
    assert browser(clerk).get(path).status_code == 404, "staff without the right to see invoices"
    # Another customer is told what is told of one that does not exist.
    missing = browser(alice).get(path.replace("-000001", "-000099"))
    hers = browser(alice).get(path)
    assert (hers.status_code, missing.status_code) == (404, 404)
    assert charlie.email not in hers.content.decode()


@pytest.mark.parametrize(
    "reference", ["F-2026-1", "F-2026-000001x", "X-2026-000001", "f-2026-000001", "F-99999-000001", "..%2f"]
)
def test_a_strange_reference_is_not_found(reference: str, charlie: User) -> None:
    assert browser(charlie).get(f"/account/invoices/{reference}").status_code == 404


def test_a_credit_note_names_the_invoice_and_the_reason(charlie: User, sara: User, invoice: Invoice) -> None:
    refunds.refund(payment=invoice.payment, by=sara, reason="Double paiement")
    note = Invoice.objects.get(kind="credit_note")
    file = browser(charlie).get(f"/account/invoices/{note.reference}.pdf")
    for mention in (note.reference, invoice.reference, "Double paiement", "1 590,00"):
        assert mention in text_of(file.content)
    listed = browser(charlie).get("/account").content.decode()
    assert note.reference in listed
    assert invoice.reference in listed


def test_the_pdf_in_arabic_is_shaped(charlie: User, chargily: Any, webhooks: Any, settings: Any) -> None:
    """Letters take the forms that join them: the glyphs drawn are not the isolated ones."""
    from fpdf import FPDF

    drawn: list[int] = []
    with translation.override("ar"):
        words = wording.dinars_in_words(1590)
    sheet = FPDF()
    sheet.add_font("Plex", "", invoice_pdf.__globals__["FONTS"] / "IBMPlexSansArabic-Regular.woff")
    sheet.set_font("Plex", "", 12)
    sheet.set_text_shaping(use_shaping_engine=True, direction="rtl", language="ar")
    font: Any = sheet.fonts["plex"]
    drawn = [glyph["mapped_char"] for glyph in font.shape_text(words, 12, sheet.text_shaping)]
    isolated = {font.cmap.get(ord(letter)) for letter in words}
    assert len(drawn) > 10
    assert len([glyph for glyph in drawn if glyph not in isolated]) > len(drawn) // 2


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_each_language_makes_one_page(language: str, invoice: Invoice) -> None:
    invoice.language = language
    paper = paper_of(invoice)
    document = pypdfium2.PdfDocument(invoice_pdf(paper))
    assert len(document) == 1
    assert paper.right_to_left == (language == "ar")
    assert invoice.reference in text_of(invoice_pdf(paper))


def test_pdfs_are_limited(charlie: User, invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    from iafactory.pages import invoices

    monkeypatch.setattr(invoices, "PDF_LIMIT", "1/h")
    path = f"/account/invoices/{invoice.reference}.pdf"
    assert [browser(charlie).get(path).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("language", "amount", "words"),
    [
        ("fr", 1590, "mille cinq cent quatre-vingt-dix dinars algériens"),
        ("fr", 80, "quatre-vingts dinars algériens"),
        ("fr", 2_000_000, "deux millions de dinars algériens"),
        ("fr", 1, "un dinar algérien"),
        ("en", 2590, "two thousand, five hundred and ninety Algerian dinars"),
        ("ar", 1590, "ألف وخمسمائة وتسعون دينارا جزائريا"),
        ("ar", 2590, "ألفان وخمسمائة وتسعون دينارا جزائريا"),
        ("ar", 2000, "ألفا دينار جزائري"),
        ("ar", 1003, "ألف وثلاثة دنانير جزائرية"),
        ("ar", 12_000, "اثنا عشر ألف دينار جزائري"),
    ],
)
def test_amounts_in_words(language: str, amount: int, words: str) -> None:
    with translation.override(language):
        assert wording.dinars_in_words(amount) == words


def test_amounts_in_figures_do_not_break() -> None:
    with translation.override("fr"):
        assert wording.dinars(1590) == "1\u00a0590\u00a0DA"
        assert wording.dinars(Decimal("1336.13")) == "1\u00a0336,13\u00a0DA"
    with translation.override("en"):
        assert wording.figure(Decimal("1336.10"), 2) == "1\u00a0336.10"
