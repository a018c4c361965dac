"""The change log with the partitions of its first weeks, and the functions by which UUIDs are made and texts compared."""

from pathlib import Path

from django.db import migrations, models

from lockstep.changes.sql_file import load

SCHEMA = load(Path(__file__).parents[1] / "sql" / "schema.sql")
FOLDING = load(Path(__file__).parents[1] / "sql" / "folding.sql")
UNDO = """
    DROP TABLE changes_change;
    DROP SEQUENCE changes_change_seq;
    DROP FUNCTION changes_make_partitions, changes_drop_week, changes_retention_days, changes_send, changes_refuse_edit,
        lockstep_uuid7;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL("\n".join(SCHEMA.values()), UNDO)],
            state_operations=[
                migrations.CreateModel(
                    name='Change',
                    fields=[
                        ('seq', models.BigIntegerField(primary_key=True, serialize=False)),
                        ('at', models.DateTimeField(help_text="When it was written, by the database's clock.")),
                        ('model', models.TextField(help_text='The model\'s label, such as "posts.post".')),
                        ('object_id', models.TextField()),
                        ('kind', models.TextField(choices=[('created', 'Created'), ('updated', 'Updated'), ('deleted', 'Deleted')])),
                        ('before', models.JSONField(help_text='Captured columns before; null when the object was not there.', null=True)),
                        ('after', models.JSONField(help_text='Captured columns after; null when the object is gone.', null=True)),
                        ('actor', models.TextField(help_text='Who: "user:<id>"; null when written past the application.', null=True)),
                        ('origin', models.TextField(help_text='The provider that it was imported from; null for our own.', null=True)),
                        ('trace', models.TextField(help_text='The request or command that it belongs to.', null=True)),
                    ],
                    options={
                        'db_table': 'changes_change',
                        'ordering': ('seq',),
                    },
                ),
            ],
        ),
        migrations.RunSQL("\n".join(FOLDING.values()), "DROP FUNCTION lockstep_sort_key, lockstep_fold"),
    ]
