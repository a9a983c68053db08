"""Shapes of the payment API, in and out. What anything means is decided elsewhere."""

from rest_framework import serializers

from .models import PaymentTransaction, Tier


class CheckoutSerializer(serializers.Serializer[None]):
    """Where to pay."""

    checkout_url = serializers.URLField(help_text="Send the customer's browser there.")
    checkout_id = serializers.CharField()
    amount = serializers.IntegerField(help_text="Whole dinars, tax included.")
    currency = serializers.CharField(default="dzd")
    tier = serializers.CharField()


class PlanSerializer(serializers.ModelSerializer[Tier]):
    tier = serializers.CharField(source="name")
    currency = serializers.SerializerMethodField()
    days = serializers.SerializerMethodField()
    available = serializers.SerializerMethodField(help_text="It can be bought now.")

    class Meta:
        model = Tier
        fields = (
            "tier",
            "price_dzd",
            "currency",
            "days",
            "sold_online",
            "available",
            "messages_per_day",
            "requests_per_minute",
            "groq_percent",
        )
        extra_kwargs = {"price_dzd": {"help_text": "Whole dinars, tax included; null: on quote."}}  # noqa: RUF012

    def get_currency(self, tier: Tier) -> str:
        return "dzd"

    def get_days(self, tier: Tier) -> int:
        return 30

    def get_available(self, tier: Tier) -> bool:
        return bool(self.context["available"][tier.name])


class PlansSerializer(serializers.Serializer[None]):
    plans = PlanSerializer(many=True)


class StatusSerializer(serializers.Serializer[None]):
    """On `free` everything but `tier` and `is_active` is null."""

    tier = serializers.CharField()
    is_active = serializers.BooleanField(help_text="A paid tier is in force.")
    subscribed_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Null on a paid tier: it has no end.")
    days_remaining = serializers.IntegerField(allow_null=True, help_text="Rounded up.")
    auto_renew = serializers.BooleanField(allow_null=True, help_text="Reminded to renew; nothing is ever debited.")


class QuoteSerializer(serializers.Serializer[None]):
    """What buying this tier now would give."""

    tier = serializers.CharField()
    amount = serializers.IntegerField(help_text="Whole dinars, tax included.")
    currency = serializers.CharField(default="dzd")
    days = serializers.IntegerField(help_text="Days bought.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(help_text="Days bought and time converted included.")
    converted_from = serializers.CharField(help_text="The tier given up for this one, or empty.", allow_blank=True)
    days_left = serializers.DecimalField(8, 2, help_text="Left of the tier given up.")
    days_converted = serializers.DecimalField(8, 2, help_text="What they become, by price.")
    replaces_endless = serializers.BooleanField(help_text="The tier held has no end, and would be given up.")


class PaymentSerializer(serializers.ModelSerializer[PaymentTransaction]):
    tier = serializers.CharField(source="tier_id")
    amount = serializers.IntegerField(source="amount_dzd", help_text="Whole dinars, tax included.")
    currency = serializers.SerializerMethodField()
    status = serializers.ChoiceField(PaymentTransaction.Status.values)
    checkout_url = serializers.SerializerMethodField(help_text="Where to pay, while it is pending.")
    invoice = serializers.SerializerMethodField(help_text="The invoice's reference, once paid.")

    class Meta:
        model = PaymentTransaction
        fields = (
            "id",
            "tier",
            "amount",
            "currency",
            "status",
            "checkout_id",
            "checkout_url",
            "created_at",
            "paid_at",
            "refunded_at",
            "starts_at",
            "ends_at",
            "invoice",
        )

    def get_currency(self, payment: PaymentTransaction) -> str:
        return "dzd"

    def get_checkout_url(self, payment: PaymentTransaction) -> str | None:
        return payment.checkout_url if payment.status == payment.Status.PENDING else None

    def get_invoice(self, payment: PaymentTransaction) -> str | None:
        found = [invoice for invoice in payment.invoices.all() if invoice.kind == invoice.Kind.INVOICE]
        return found[0].reference if found else None


class BoughtSerializer(PaymentSerializer):
    """A payment, and where its owner stands now."""

    subscription = StatusSerializer()

    class Meta(PaymentSerializer.Meta):
        fields = (*PaymentSerializer.Meta.fields, "subscription")  # type: ignore[assignment]


class ReceivedSerializer(serializers.Serializer[None]):
    received = serializers.BooleanField()
