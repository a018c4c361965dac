import sys
from pathlib import Path

import django.contrib.postgres.indexes
import lockstep.changes.folding
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

from lockstep.changes.sql_file import load

SQL = {name: text for file in ("search.sql", "before_folding.sql") for name, text in load(Path(__file__).parents[1] / "sql" / file).items() if (file, name) != ("before_folding.sql", "plain")}
# Nothing that is told of changes by it: the triggers rest.
FILL = """
    ALTER TABLE shop_product DISABLE TRIGGER USER;
    UPDATE shop_product SET folded_name = lockstep_fold(name);
    ALTER TABLE shop_product ENABLE TRIGGER USER;
"""
SAME_TAGS = """
    SELECT id::text, name, first FROM (
        SELECT id, name, first_value(name) OVER same AS first, row_number() OVER same AS place
        FROM shop_tag WHERE deleted IS NULL WINDOW same AS (PARTITION BY lockstep_fold(name) ORDER BY id)
    ) AS tags WHERE place > 1 ORDER BY id
"""


def tell_apart(apps, schema_editor):
    """Of tags that are one now the first keeps its name; others get a number, and all their products."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(SAME_TAGS)
        for key, name, first in cursor.fetchall():
            new = _free_name(cursor, name)
            cursor.execute("UPDATE shop_tag SET name = %s WHERE id = %s", [new, key])
            sys.stderr.write(f"\nTag {key} {name!r} is the same as {first!r} by now: it is called {new!r}.\n")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what waits for the commit forbids ALTER TABLE


def _free_name(cursor, name):
    number = 2
    while True:
        candidate = f"{name} ({number})"
        cursor.execute("SELECT FROM shop_tag WHERE deleted IS NULL AND lockstep_fold(name) = lockstep_fold(%s)", [candidate])
        if cursor.fetchone() is None:
            return candidate
        number += 1


class Migration(migrations.Migration):
    """Tags, names of products and searched words are compared by lockstep_fold."""

    dependencies = [
        ('changes', '0010_folding'),
        ("shop", "0009_end_orders_and_card_tries"),
    ]

    operations = [
        migrations.RunSQL(SQL["plain"], migrations.RunSQL.noop),
        migrations.RunSQL(SQL["query"], migrations.RunSQL.noop),
        migrations.RunSQL(SQL["show_folded"], migrations.RunSQL.noop),
        migrations.RemoveConstraint(
            model_name='tag',
            name='shop_tag_name',
        ),
        migrations.RemoveIndex(
            model_name='tag',
            name='shop_tag_prefix',
        ),
        migrations.RunPython(tell_apart, migrations.RunPython.noop),
        migrations.AddField(
            model_name='product',
            name='folded_name',
            field=lockstep.changes.folding.FoldedField(db_default='', editable=False, help_text='The name, as it is searched.'),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='tag',
            index=models.Index(django.contrib.postgres.indexes.OpClass(lockstep.changes.folding.Fold('name'), 'text_pattern_ops'), name='shop_tag_prefix'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='write_folded_name', sql=pgtrigger.compiler.UpsertTriggerSql(func="NEW.folded_name := lockstep_fold(coalesce(NEW.name, '')); RETURN NEW;", hash='92dc2abfe911487b5b55c9000e105e8e83e9b0e7', operation='INSERT OR UPDATE OF "name", "folded_name"', pgid='pgtrigger_write_folded_name_bfcef', table='shop_product', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='tag',
            constraint=models.UniqueConstraint(lockstep.changes.folding.Fold('name'), condition=models.Q(('deleted', None)), name='shop_tag_name'),
        ),
        migrations.RunSQL(SQL["index_folded"], migrations.RunSQL.noop),
    ]
