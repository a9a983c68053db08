"""The payer's amount of an attempt. Nullable and without a default: PostgreSQL adds it without rewriting the table, and
rows of before it, or of an operator's SQL, are charged their cost."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("usage", "0004_rollup_triggers")]

    operations = [
        migrations.AddField(
            model_name="usagelog",
            name="charged_usd",
            field=models.DecimalField(
                decimal_places=9,
                help_text="What counts for the customer: 0 for an answer that could not be used. Empty: the cost.",
                max_digits=18,
                null=True,
                verbose_name="charged (USD)",
            ),
        ),
    ]
