"""Whatever a statement changes in the usage table is appended to the sums, in the same transaction.

Triggers per statement, so that a batch of 2000 rows appends a few sums and not 2000. An INSERT … ON CONFLICT DO UPDATE
fires both the one of INSERT and the one of UPDATE, each with the rows that it concerns.
"""

from django.db import migrations

SUMS = """
    INSERT INTO usage_rollup_hours (
        hour, provider, model, tier,
        calls, errors, tokens_input, tokens_output, cost_usd, list_cost_usd, latency_ms
    )
    SELECT
        date_trunc('hour', created_at, 'Africa/Algiers'), provider, model, tier,
        sum(sign), sum(sign * error_flag::int), sum(sign * tokens_input), sum(sign * tokens_output),
        sum(sign * cost_usd), sum(sign * list_cost_usd), sum(sign * latency_ms)
    FROM ({changes}) AS changes GROUP BY 1, 2, 3, 4;

    INSERT INTO usage_rollup_user_days (day, user_id, tier, calls, errors, tokens, cost_usd)
    SELECT
        (created_at AT TIME ZONE 'Africa/Algiers')::date, user_id, tier,
        sum(sign), sum(sign * error_flag::int), sum(sign * (tokens_input::bigint + tokens_output)),
        sum(sign * cost_usd)
    FROM ({changes}) AS changes GROUP BY 1, 2, 3;

    INSERT INTO usage_rollup_latencies (day, provider, bucket, calls)
    SELECT
        (created_at AT TIME ZONE 'Africa/Algiers')::date, provider,
        CASE WHEN latency_ms > 1 THEN ceil(ln(latency_ms::float8) / ln(1.1::float8)) ELSE 0 END::int,
        sum(sign)
    FROM ({changes}) AS changes WHERE NOT error_flag GROUP BY 1, 2, 3;
"""
APPEND = """
    CREATE FUNCTION usage_roll_up_{name}() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        {sums}
        RETURN NULL;
    END $body$;

    CREATE TRIGGER usage_roll_up_{name} AFTER {name} ON llm_usage_logs REFERENCING {tables}
    FOR EACH STATEMENT EXECUTE FUNCTION usage_roll_up_{name}();
"""
KINDS = (
    ("insert", "NEW TABLE AS new_rows", "SELECT 1 AS sign, * FROM new_rows"),
    ("delete", "OLD TABLE AS old_rows", "SELECT -1 AS sign, * FROM old_rows"),
    (
        "update",
        "OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "SELECT -1 AS sign, * FROM old_rows UNION ALL SELECT 1, * FROM new_rows",
    ),
)
# DELETE, because a TRUNCATE of several tables at once has these open too.
EMPTY = """
    CREATE FUNCTION usage_roll_up_truncate() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        DELETE FROM usage_rollup_hours;
        DELETE FROM usage_rollup_user_days;
        DELETE FROM usage_rollup_latencies;
        RETURN NULL;
    END $body$;

    CREATE TRIGGER usage_roll_up_truncate AFTER TRUNCATE ON llm_usage_logs
    FOR EACH STATEMENT EXECUTE FUNCTION usage_roll_up_truncate();
"""
# The rows that are there already. Nobody adds to them meanwhile: the new triggers lock the table until the commit.
FILL = SUMS.format(changes="SELECT 1 AS sign, * FROM llm_usage_logs")


class Migration(migrations.Migration):
    dependencies = [("usage", "0003_rollups")]
    operations = [
        *(
            migrations.RunSQL(
                APPEND.format(name=name, tables=tables, sums=SUMS.format(changes=changes)),
                f"DROP FUNCTION usage_roll_up_{name} CASCADE",
            )
            for name, tables, changes in KINDS
        ),
        migrations.RunSQL(EMPTY, "DROP FUNCTION usage_roll_up_truncate CASCADE"),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
