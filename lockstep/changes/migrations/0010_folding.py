from pathlib import Path

from django.db import migrations

from lockstep.changes.sql_file import load

SQL = load(Path(__file__).parents[1] / "sql" / "folding.sql")


class Migration(migrations.Migration):
    """The function by which all texts are compared."""

    dependencies = [
        ("changes", "0001_change_log"),
    ]

    operations = [
        migrations.RunSQL(SQL["fold"], "DROP FUNCTION lockstep_fold"),
    ]
