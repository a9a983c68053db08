from django.db import migrations

# So that psql's CURRENT_DATE is the product's day. Sessions of Django set their own time zone.
ALGIERS = """
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET timezone TO %%L', current_database(), 'Africa/Algiers'); END $$
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]
    operations = [migrations.RunSQL(ALGIERS.replace("%%", "%"), migrations.RunSQL.noop)]
