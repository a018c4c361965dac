from pathlib import Path

from django.db import migrations

from lockstep.changes.sql_file import load

SQL = load(Path(__file__).parents[1] / "sql" / "before_folding.sql")
# Only there does the function find another collation than it did before.
INDEX_ANEW = """
    SELECT shop_index(ARRAY(SELECT id FROM shop_product)) WHERE current_setting('server_version_num')::int < 170000
"""


class Migration(migrations.Migration):
    """Databases of PostgreSQL 16 that were searched without capitals beyond ASCII learn them."""

    dependencies = [
        ("shop", "0004_tags_touch_products"),
    ]

    operations = [
        migrations.RunSQL(SQL["plain"], migrations.RunSQL.noop),
        migrations.RunSQL(INDEX_ANEW, migrations.RunSQL.noop),
    ]
