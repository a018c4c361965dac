import django.contrib.postgres.fields
from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
import lockstep.changes.entities
import lockstep.delivery.models
from django.db import migrations, models


from lockstep.changes.sql_file import load

SCHEMA = load(Path(__file__).parents[1] / "sql" / "schema.sql")


class Migration(migrations.Migration):

    initial = True

    dependencies = [("changes", "0001_change_log")]

    operations = [
        migrations.CreateModel(
            name='Epoch',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), primary_key=True, serialize=False)),
                ('system_identifier', models.TextField()),
                ('began', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Lane',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('next_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When it may be claimed: due time, retry or lease.')),
                ('token', models.BigIntegerField(db_default=0, help_text='Fencing token of the latest claim.')),
                ('attempts', models.IntegerField(db_default=0, help_text='Claims since the last success.')),
                ('failure', models.TextField(help_text='How the last attempt failed; null while claimed or due.', null=True)),
                ('cause', models.TextField(help_text='Why, for people.', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='PeriodicTask',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('next_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('event', 'every change, in order'), ('state', 'only the latest state counts')])),
                ('follows', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='Labels of its models, such as "posts.post".', size=None)),
                ('skip_origin', models.TextField(help_text='Changes of this origin are not delivered: no echo.', null=True)),
                ('state', models.TextField(choices=[('active', 'Active'), ('paused', 'Paused')], db_default='active')),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it is paused.')),
                ('window_start', lockstep.delivery.models.SnapshotField(db_default=lockstep.delivery.models.CurrentSnapshot(), help_text='All that it shows is fanned out.')),
                ('window_end', lockstep.delivery.models.SnapshotField(help_text='Set while a window is fanned out in chunks.', null=True)),
                ('window_seq', models.BigIntegerField(help_text='Where in the window the next chunk starts.', null=True)),
                ('window_last', models.BigIntegerField(help_text='The last seq of the window.', null=True)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('pk', models.CompositePrimaryKey('lane_id', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField(help_text="The change's own time: finds its partition.")),
                ('lane', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='delivery.lane')),
            ],
        ),
        migrations.AddField(
            model_name='lane',
            name='subscription',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='delivery.subscription'),
        ),
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), primary_key=True, serialize=False)),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField()),
                ('message_id', models.UUIDField()),
                ('attempts', models.IntegerField()),
                ('cause', models.TextField()),
                ('died', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('subscription', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='delivery.subscription')),
            ],
        ),
        migrations.AddConstraint(
            model_name='lane',
            constraint=models.UniqueConstraint(fields=('subscription', 'model', 'object_id'), name='delivery_lane_object'),
        ),
        migrations.RunSQL("\n".join(SCHEMA[part] for part in ("token", "due", "churn")), "DROP SEQUENCE delivery_token"),
    ]
