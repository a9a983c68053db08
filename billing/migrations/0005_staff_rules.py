"""No tier has a negative daily budget. A row that has one by hand is put on 0, which refuses every paid call too."""

from decimal import Decimal
from typing import Any

import django.core.validators
from django.db import migrations, models


def lift_negative_budgets(apps: Any, schema_editor: Any) -> None:
    apps.get_model("billing", "Tier").objects.filter(user_daily_budget_usd__lt=0).update(user_daily_budget_usd=0)


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_letters_due_by_one_clock")]

    operations = [
        migrations.RunPython(lift_negative_budgets, migrations.RunPython.noop, elidable=True),
        migrations.AddConstraint(
            model_name="tier",
            constraint=models.CheckConstraint(
                condition=models.Q(user_daily_budget_usd=None) | models.Q(user_daily_budget_usd__gte=0),
                name="tiers_daily_budget_is_not_negative",
            ),
        ),
        migrations.AlterField(
            model_name="tier",
            name="price_dzd",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                help_text="Whole dinars. Empty: on quote.",
                validators=[django.core.validators.MaxValueValidator(1_000_000)],
                verbose_name="price per 30 days (DZD)",
            ),
        ),
        migrations.AlterField(
            model_name="tier",
            name="messages_per_day",
            field=models.PositiveIntegerField(
                validators=[django.core.validators.MinValueValidator(1)], verbose_name="messages per day"
            ),
        ),
        migrations.AlterField(
            model_name="tier",
            name="requests_per_minute",
            field=models.PositiveIntegerField(
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(10_000),
                ],
                verbose_name="requests per minute",
            ),
        ),
        migrations.AlterField(
            model_name="tier",
            name="user_daily_budget_usd",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                max_digits=12,
                null=True,
                help_text="Empty: no limit but the platform's own.",
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(Decimal(100_000)),
                ],
                verbose_name="most one user may cost a day (USD)",
            ),
        ),
    ]
