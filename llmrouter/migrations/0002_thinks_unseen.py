from typing import Any

from django.db import migrations, models

# Of the catalogue of the first start, those that bill no thoughts unless they are asked for them.
SHOW_ALL = ("claude-sonnet-4", "gpt-4o", "grok-2")


def tell(apps: Any, _schema_editor: Any) -> None:
    apps.get_model("llmrouter", "Model").objects.filter(name__in=SHOW_ALL).update(thinks_unseen=False)


class Migration(migrations.Migration):
    dependencies = [
        ("llmrouter", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="model",
            name="thinks_unseen",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Bills thoughts that it does not show: a caller who hangs up is charged all that was held.",
                verbose_name="may think unseen",
            ),
        ),
        migrations.RunPython(tell, migrations.RunPython.noop),
    ]
