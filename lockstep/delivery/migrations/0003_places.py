"""Places of subscriptions become rows of their own. Each subscription keeps its place; the relay joins them."""

from pathlib import Path

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models

import lockstep.delivery.models
from lockstep.changes.sql_file import load

PLACES = load(Path(__file__).parents[1] / "sql" / "places.sql")
FUNCTIONS = "DROP FUNCTION delivery_unplaced, delivery_is_placed, delivery_new_place"

KEEP_PLACES = """
DO $$
DECLARE
    old delivery_subscription;
    kept bigint;
BEGIN
    FOR old IN SELECT * FROM delivery_subscription LOOP
        INSERT INTO delivery_place (window_start, window_end, window_seq, window_last)
        VALUES (old.window_start, old.window_end, old.window_seq, old.window_last) RETURNING id INTO kept;
        UPDATE delivery_subscription SET place_id = kept,
            paused = CASE WHEN old.state = 'paused' THEN old.reason END WHERE name = old.name;
    END LOOP;
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('changes', '0001_initial'),
        ('delivery', '0002_outages_and_declarations'),
    ]

    operations = [
        migrations.CreateModel(
            name='Place',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('token', models.BigIntegerField(db_default=lockstep.delivery.models.DrawnToken(), help_text='Another one whenever it moves or gains members.')),
                ('window_start', lockstep.delivery.models.SnapshotField(db_default=lockstep.delivery.models.CurrentSnapshot(), help_text='All that it shows is fanned out.')),
                ('window_end', lockstep.delivery.models.SnapshotField(help_text='Set while a window is fanned out in chunks.', null=True)),
                ('window_seq', models.BigIntegerField(help_text='Where in the window the next chunk starts.', null=True)),
                ('window_last', models.BigIntegerField(help_text='The last seq of the window.', null=True)),
            ],
        ),
        migrations.RunSQL("\n".join(PLACES.values()), FUNCTIONS),
        migrations.AddField(
            model_name='subscription',
            name='paused',
            field=models.TextField(help_text='Why an operator paused it; also kept while it is disabled.', null=True),
        ),
        migrations.AddField(
            model_name='subscription',
            name='place',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to='delivery.place'),
        ),
        migrations.RunSQL(KEEP_PLACES, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='subscription',
            name='place',
            field=models.ForeignKey(db_default=lockstep.delivery.models.NewPlace(), db_index=False, on_delete=django.db.models.deletion.PROTECT, to='delivery.place'),
        ),
        migrations.RemoveField(model_name='subscription', name='window_start'),
        migrations.RemoveField(model_name='subscription', name='window_end'),
        migrations.RemoveField(model_name='subscription', name='window_seq'),
        migrations.RemoveField(model_name='subscription', name='window_last'),
        migrations.AddIndex(
            model_name='subscription',
            index=models.Index(condition=models.Q(('state', 'active')), fields=['place'], name='delivery_subscription_standing'),
        ),
        migrations.AddIndex(
            model_name='subscription',
            index=django.contrib.postgres.indexes.GinIndex(fastupdate=False, fields=['follows'], name='delivery_subscription_follows'),
        ),
    ]
