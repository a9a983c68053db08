"""What was paid for the time that is left, and what a customer accepted at the click.

The stretches of payments that are in force are laid backwards from the end of the tier held. Where an older payment
was for another tier, its days are turned into the tier held by the price of the newest payment for that tier.
"""

from datetime import timedelta
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone

DAY = timedelta(days=1)


def lay_out(apps: Any, schema_editor: Any) -> None:
    now = timezone.now()
    held_rows = apps.get_model("billing", "UserTier").objects.filter(expires_at__gt=now).exclude(tier_id="free")
    for held in held_rows.iterator():
        lay_out_one(apps, held, now)


def lay_out_one(apps: Any, held: Any, now: Any) -> None:
    payments = apps.get_model("billing", "PaymentTransaction").objects.filter(
        user_id=held.user_id, status="paid", ends_at__gt=now, amount_dzd__gt=0, days__gt=0
    )
    of_tier = payments.filter(tier_id=held.tier_id).order_by("-paid_at", "-id")
    newest = of_tier.first()
    others = payments.exclude(tier_id=held.tier_id).order_by("-paid_at", "-id")
    cursor = held.expires_at
    # Bought days come first, what was converted after them: laid backwards, the converted come first.
    for payment in [*(others if newest else ()), *of_tier]:
        rate = newest if payment.tier_id != held.tier_id else payment
        length = payment.days * DAY * payment.amount_dzd * rate.days // (payment.days * rate.amount_dzd)
        starts_at = max(now, cursor - length)
        if starts_at < cursor:
            keep(apps, payment, held.tier_id, starts_at, cursor, rate)
            cursor = starts_at


def keep(apps: Any, payment: Any, tier: str, starts_at: Any, ends_at: Any, rate: Any) -> None:
    apps.get_model("billing", "PaidTime").objects.create(
        payment=payment, tier=tier, starts_at=starts_at, ends_at=ends_at, rate_dzd=rate.amount_dzd, rate_days=rate.days
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_letters_about_mismatches")]

    operations = [
        migrations.AddField(
            model_name="paymenttransaction",
            name="gives_way",
            field=models.CharField(blank=True, db_default="", default="", max_length=32, verbose_name="converted from"),
        ),
        migrations.AddField(
            model_name="paymenttransaction",
            name="gives_way_endless",
            field=models.BooleanField(db_default=False, default=False, verbose_name="without an end"),
        ),
        migrations.CreateModel(
            name="PaidTime",
            fields=[
                (
                    "payment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="paid_time",
                        serialize=False,
                        to="billing.paymenttransaction",
                        verbose_name="payment",
                    ),
                ),
                ("tier", models.CharField(max_length=32, verbose_name="tier")),
                ("starts_at", models.DateTimeField(verbose_name="from")),
                ("ends_at", models.DateTimeField(verbose_name="until")),
                ("rate_dzd", models.PositiveIntegerField(verbose_name="amount (DZD)")),
                ("rate_days", models.PositiveSmallIntegerField(verbose_name="days bought")),
            ],
            options={"verbose_name": "payment", "verbose_name_plural": "payments", "db_table": "paid_time"},
        ),
        migrations.AddConstraint(
            model_name="paidtime",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate_days__gt", 0), ("rate_dzd__gt", 0)), name="paid_time_rate_is_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="paidtime",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gte", models.F("starts_at"))), name="paid_time_ends_after_it_starts"
            ),
        ),
        migrations.RunPython(lay_out, migrations.RunPython.noop, elidable=True),
    ]
