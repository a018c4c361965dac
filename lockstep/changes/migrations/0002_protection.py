"""Databases of before: the log refuses more, and its functions do not depend on the writer's search_path."""

from pathlib import Path

from django.db import migrations

from lockstep.changes.sql_file import load

SCHEMA = load(Path(__file__).parents[1] / "sql" / "schema.sql")
FOLDING = load(Path(__file__).parents[1] / "sql" / "folding.sql")


class Migration(migrations.Migration):

    dependencies = [
        ('changes', '0001_initial'),
    ]

    operations = [
        *(
            migrations.RunSQL(SCHEMA[name], migrations.RunSQL.noop)
            for name in ("append_only", "make_partitions", "drop_week", "send")
        ),
        migrations.RunSQL(FOLDING["sort_key"], migrations.RunSQL.noop),
    ]
