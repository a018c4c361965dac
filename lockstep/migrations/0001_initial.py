import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import lockstep.changes.models
import lockstep.delivery.models
from lockstep.changes.schema_editor import is_followed


def make_log(apps, schema_editor):
    """Makes the change log, and functions that are defaults of the tables below, unless `migrate` already has."""
    if is_followed(schema_editor.connection):
        from lockstep.install import install_log  # imported late, because it needs psycopg

        install_log(schema_editor.connection)


def drop_log(apps, schema_editor):
    """Drops all triggers, the log and all functions."""
    if is_followed(schema_editor.connection):
        from lockstep.install import uninstall_log

        uninstall_log(schema_editor.connection)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.RunPython(make_log, drop_log),
        migrations.CreateModel(
            name='LoggedChange',
            fields=[
                ('seq', models.BigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(help_text="When it was written, by the database's clock.")),
                ('model', models.TextField(help_text='The model\'s label, such as "posts.post".')),
                ('object_id', models.TextField()),
                ('kind', models.TextField(choices=[('created', 'Created'), ('updated', 'Updated'), ('deleted', 'Deleted')])),
                ('before', models.JSONField(help_text='Captured columns before; null for a creation.', null=True)),
                ('after', models.JSONField(help_text='Captured columns after; null for a deletion.', null=True)),
                ('actor', models.TextField(help_text='Such as "user:<id>"; null when written outside the application.', null=True)),
                ('origin', models.TextField(help_text='The provider of an imported change; null for our own.', null=True)),
                ('trace', models.TextField(help_text='The request or command.', null=True)),
                ('traceparent', models.TextField(help_text='The span, where traces are enabled.', null=True)),
            ],
            options={
                'db_table': 'lockstep_change',
                'ordering': ('seq',),
                'managed': False,
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Epoch',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), primary_key=True, serialize=False)),
                ('number', models.IntegerField(help_text='1 for the first. Unlike a clock it never steps back.', unique=True)),
                ('system_identifier', models.TextField(help_text='The cluster.')),
                ('timeline', models.IntegerField(help_text="The cluster's timeline, which changes with a promotion or a recovery.")),
                ('began', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('dropped', models.BigIntegerField(help_text='The last transaction of the dropped weeks.', null=True)),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='PeriodicTask',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('next_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Place',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('token', models.BigIntegerField(db_default=lockstep.delivery.models.DrawnToken(), help_text='Changes whenever it moves or gains members.')),
                ('window_start', lockstep.delivery.models.SnapshotField(db_default=lockstep.delivery.models.CurrentSnapshot(), help_text='All that it shows is fanned out.')),
                ('window_end', lockstep.delivery.models.SnapshotField(help_text='Set while a window is fanned out in chunks.', null=True)),
                ('window_seq', models.BigIntegerField(help_text='Where in the window the next chunk starts.', null=True)),
                ('window_last', models.BigIntegerField(help_text='The last seq of the window.', null=True)),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='WorkerHeartbeat',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('seen', models.DateTimeField()),
                ('complaint', models.TextField(help_text='Its stalled parts.')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('event', 'every change, in order'), ('state', 'only the latest state counts')])),
                ('follows', lockstep.delivery.models.TextArrayField(help_text='Patterns such as "blog.article.*".')),
                ('skip_origin', models.TextField(help_text='Changes of this origin are not delivered: no echo.', null=True)),
                ('state', models.TextField(choices=[('active', 'Active'), ('paused', 'nothing is delivered until an operator resumes it'), ('full', 'at its cap: no fan-out until half of the waiting changes are delivered'), ('disabled', 'nothing is fanned out or kept')], db_default='active')),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it is not active.')),
                ('paused', models.TextField(help_text='Why an operator paused it; also kept while it is disabled.', null=True)),
                ('cap', models.BigIntegerField(db_default=1000000, help_text='At so many waiting changes fan-out stops.')),
                ('placed', models.BigIntegerField(db_default=0, help_text='Changes fanned out since the last count.')),
                ('keeps_log', models.BooleanField(db_default=True, help_text='Its dead letters keep their weeks of the log.')),
                ('silent_since', models.DateTimeField(help_text='When its remote stopped answering.', null=True)),
                ('silent_cause', models.TextField(blank=True, db_default='', help_text="The remote's latest failure.")),
                ('replaced', lockstep.delivery.models.TextArrayField(db_default=[], help_text='Declarations that a later version of the code replaced.')),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('place', models.ForeignKey(db_default=lockstep.delivery.models.NewPlace(), db_index=False, on_delete=django.db.models.deletion.PROTECT, to='lockstep.place')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Lane',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('next_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When it may be claimed: due time, retry or end of lease.')),
                ('token', models.BigIntegerField(db_default=0, help_text='Fencing token of the latest claim.')),
                ('attempts', models.IntegerField(db_default=0, help_text='Failed attempts since the last success.')),
                ('failure', models.TextField(help_text='How the last attempt failed; null while claimed or due.', null=True)),
                ('cause', models.TextField(help_text="The failure's message.", null=True)),
                ('subscription', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='lockstep.subscription')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('pk', models.CompositePrimaryKey('lane_id', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField(help_text="The change's own time, for its partition.")),
                ('lane', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='lockstep.lane')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), primary_key=True, serialize=False)),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField()),
                ('message_id', models.UUIDField()),
                ('attempts', models.IntegerField()),
                ('cause', models.TextField()),
                ('died', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('outcome', models.TextField(choices=[('replayed', 'sent again'), ('discarded', 'discarded for good')], help_text='Null while it is open.', null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it was discarded.')),
                ('settled', models.DateTimeField(null=True)),
                ('subscription', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='lockstep.subscription')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), primary_key=True, serialize=False)),
                ('message_id', models.UUIDField()),
                ('model', models.TextField()),
                ('object_id', models.TextField()),
                ('kind', models.TextField()),
                ('seq', models.BigIntegerField()),
                ('at', models.DateTimeField(help_text="The change's own time.")),
                ('number', models.IntegerField(help_text='1 for the first attempt.')),
                ('began', models.DateTimeField()),
                ('seconds', models.FloatField()),
                ('failure', models.TextField(help_text='How it failed; null when it was delivered.', null=True)),
                ('cause', models.TextField(help_text="The failure's message.", null=True)),
                ('receipt', models.JSONField(help_text="The handler's record of it.", null=True)),
                ('subscription', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='lockstep.subscription')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.AddIndex(
            model_name='subscription',
            index=models.Index(condition=models.Q(('state', 'active')), fields=['place'], name='lockstep_subscription_standing'),
        ),
        migrations.AddIndex(
            model_name='lane',
            index=models.Index(fields=['subscription', 'next_at'], name='lockstep_lane_due'),
        ),
        migrations.AddIndex(
            model_name='lane',
            index=models.Index(condition=models.Q(('failure', 'unreachable')), fields=['subscription', 'next_at'], name='lockstep_lane_waiting'),
        ),
        migrations.AddConstraint(
            model_name='lane',
            constraint=models.UniqueConstraint(fields=('subscription', 'model', 'object_id'), name='lockstep_lane_object'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(condition=models.Q(('outcome', None)), fields=['subscription', 'died'], name='lockstep_dead_open'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(fields=['subscription', 'id'], name='lockstep_attempt_latest'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(fields=['message_id'], name='lockstep_attempt_message'),
        ),
    ]
