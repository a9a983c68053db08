"""Mails about a payment that a person looks at, and about its money that went back."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0005_staff_rules'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='letter',
            name='letters_about_one_thing',
        ),
        migrations.AddField(
            model_name='letter',
            name='payment',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='letters', to='billing.paymenttransaction', verbose_name='payment'),
        ),
        migrations.AlterField(
            model_name='letter',
            name='kind',
            field=models.CharField(choices=[('receipt', 'receipt'), ('reminder_7', 'reminder, 7 days'), ('reminder_3', 'reminder, 3 days'), ('reminder_1', 'reminder, 1 day'), ('mismatch', 'payment looked at'), ('returned', 'payment given back')], max_length=16, verbose_name='kind'),
        ),
        migrations.AddConstraint(
            model_name='letter',
            constraint=models.UniqueConstraint(condition=models.Q(('payment__isnull', False)), fields=('payment', 'kind'), name='letters_one_of_a_kind_per_payment'),
        ),
        migrations.AddConstraint(
            model_name='letter',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ends_at', None), ('invoice__isnull', False), ('kind', 'receipt'), ('payment', None)), models.Q(('ends_at', None), ('invoice', None), ('kind__in', ['mismatch', 'returned']), ('payment__isnull', False)), models.Q(('kind__startswith', 'reminder_'), ('ends_at__isnull', False), ('invoice', None), ('payment', None)), _connector='OR'), name='letters_about_one_thing'),
        ),
    ]
