"""Invoices and credit notes: numbered without gaps, written once, never edited."""

from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

from .payments import PaymentTransaction


class InvoiceIsFinal(Exception):
    """An invoice is never edited nor deleted; what was wrong is credited."""


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise InvoiceIsFinal

    def delete(self) -> NoReturn:
        raise InvoiceIsFinal


class Invoice(models.Model):
    """Seller, buyer and what was sold stand here as they were: what changes later does not change it.

    Amounts are dinars with two places (a tax of 19 % of whole dinars has centimes); a credit note's are positive too.
    The database has a trigger that refuses UPDATE and DELETE, by SQL as well.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("invoice")
        CREDIT_NOTE = "credit_note", _("credit note")

    kind = models.CharField(_("kind"), max_length=16, choices=Kind, default=Kind.INVOICE)
    year = models.PositiveSmallIntegerField(_("year"))
    number = models.PositiveIntegerField(_("number"))
    payment = models.ForeignKey(PaymentTransaction, models.PROTECT, related_name="invoices", verbose_name=_("payment"))
    credits = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="credited_by", verbose_name=_("invoice credited")
    )
    issued_at = models.DateTimeField(_("issued"))
    language = models.CharField(_("language"), max_length=2)

    tier = models.CharField(_("tier"), max_length=32)
    days = models.PositiveSmallIntegerField(_("days bought"))
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))

    tva_percent = models.DecimalField(_("TVA (%)"), max_digits=5, decimal_places=2)
    amount_ht = models.DecimalField(_("amount before tax (DZD)"), max_digits=12, decimal_places=2)
    amount_tva = models.DecimalField(_("TVA (DZD)"), max_digits=12, decimal_places=2)
    amount_ttc = models.DecimalField(_("total (DZD)"), max_digits=12, decimal_places=2)

    seller = models.JSONField(_("seller"), help_text=_("name, address, rc, nif, nis, ai, email, phone"))
    buyer = models.JSONField(_("buyer"), help_text=_("id, email"))
    reason = models.CharField(_("reason"), max_length=500, default="", db_default="")

    objects: ClassVar = InvoiceQuerySet.as_manager()

    class Meta:
        db_table = "invoices"
        ordering: ClassVar = ["-issued_at", "-id"]
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "year", "number"], name="invoices_number_once"),
            # One invoice and at most one credit note for a payment, whoever tries twice.
            models.UniqueConstraint(fields=["payment", "kind"], name="invoices_one_per_payment"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="invoices_number_from_one"),
            models.CheckConstraint(
                condition=models.Q(amount_ttc=models.F("amount_ht") + models.F("amount_tva")), name="invoices_add_up"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="invoice", credits=None) | models.Q(kind="credit_note", credits__isnull=False),
                name="invoices_credit_notes_credit",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        """As printed: F-2026-000123 for an invoice, A-2026-000004 for a credit note (facture, avoir)."""
        letter = "F" if self.kind == self.Kind.INVOICE else "A"
        return f"{letter}-{self.year}-{self.number:06d}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise InvoiceIsFinal
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise InvoiceIsFinal
