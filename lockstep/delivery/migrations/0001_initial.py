from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import lockstep.changes.entities
import lockstep.delivery.models
from lockstep.changes.sql_file import load

SCHEMA = load(Path(__file__).parents[1] / "sql" / "schema.sql")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('changes', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('event', 'every change, in order'), ('state', 'only the latest state counts')])),
                ('follows', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='Patterns such as "posts.post.*".', size=None)),
                ('skip_origin', models.TextField(help_text='Changes of this origin are not delivered: no echo.', null=True)),
                ('state', models.TextField(choices=[('active', 'Active'), ('paused', 'stands still until somebody resumes it'), ('full', 'takes no more until half of what waits is delivered'), ('disabled', 'gets nothing and keeps nothing')], db_default='active')),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it is not active.')),
                ('window_start', lockstep.delivery.models.SnapshotField(db_default=lockstep.delivery.models.CurrentSnapshot(), help_text='All that it shows is fanned out.')),
                ('window_end', lockstep.delivery.models.SnapshotField(help_text='Set while a window is fanned out in chunks.', null=True)),
                ('window_seq', models.BigIntegerField(help_text='Where in the window the next chunk starts.', null=True)),
                ('window_last', models.BigIntegerField(help_text='The last seq of the window.', null=True)),
                ('cap', models.BigIntegerField(db_default=1000000, help_text='It is full when so many changes wait.')),
                ('placed', models.BigIntegerField(db_default=0, help_text='Changes placed since what waits was counted.')),
                ('keeps_log', models.BooleanField(db_default=True, help_text='Its dead letters keep their days of the log.')),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Lane',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('subscription', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='delivery.subscription')),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('next_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When it may be claimed: due time, retry or lease.')),
                ('token', models.BigIntegerField(db_default=0, help_text='Fencing token of the latest claim.')),
                ('attempts', models.IntegerField(db_default=0, help_text='Claims since the last success.')),
                ('failure', models.TextField(help_text='How the last attempt failed; null while claimed or due.', null=True)),
                ('cause', models.TextField(help_text='Why, for people.', null=True)),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('subscription', 'model', 'object_id'), name='delivery_lane_object'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('pk', models.CompositePrimaryKey('lane_id', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('lane', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='delivery.lane')),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField(help_text="The change's own time: finds its partition.")),
            ],
        ),
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), primary_key=True, serialize=False)),
                ('subscription', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='delivery.subscription')),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField()),
                ('message_id', models.UUIDField()),
                ('attempts', models.IntegerField()),
                ('cause', models.TextField()),
                ('died', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('outcome', models.TextField(choices=[('replayed', 'sent again'), ('discarded', 'given up')], help_text='None while nobody has settled it.', null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it was discarded.')),
                ('settled', models.DateTimeField(null=True)),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('outcome', None)), fields=['subscription', 'died'], name='delivery_dead_open'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), primary_key=True, serialize=False)),
                ('subscription', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='delivery.subscription')),
                ('message_id', models.UUIDField()),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('kind', models.TextField()),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField(help_text="The change's own time.")),
                ('number', models.IntegerField(help_text='1 for the first try.')),
                ('began', models.DateTimeField()),
                ('seconds', models.FloatField()),
                ('failure', models.TextField(help_text='How it failed; null when it was delivered.', null=True)),
                ('cause', models.TextField(help_text='Why, for people.', null=True)),
                ('receipt', models.JSONField(help_text='What the handler has to tell of it.', null=True)),
            ],
            options={
                'indexes': [
                    models.Index(fields=['subscription', 'id'], name='delivery_attempt_latest'),
                    models.Index(fields=['message_id'], name='delivery_attempt_message'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Epoch',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), primary_key=True, serialize=False)),
                ('system_identifier', models.TextField()),
                ('began', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('first_seq', models.BigIntegerField(db_default=0, help_text='The first number of the log in this life.')),
                ('dropped', models.BigIntegerField(help_text='The last transaction of the days that were dropped.', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='PeriodicTask',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('next_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.RunSQL("\n".join(SCHEMA.values()), "DROP FUNCTION delivery_followed, delivery_draw_token"),
    ]
