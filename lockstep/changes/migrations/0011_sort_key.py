from pathlib import Path

from django.db import migrations

from lockstep.changes.sql_file import load

SQL = load(Path(__file__).parents[1] / "sql" / "folding.sql")


class Migration(migrations.Migration):
    """The function by which names and titles are sorted."""

    dependencies = [
        ("changes", "0010_folding"),
    ]

    operations = [
        migrations.RunSQL(SQL["sort_key"], "DROP FUNCTION lockstep_sort_key"),
    ]
