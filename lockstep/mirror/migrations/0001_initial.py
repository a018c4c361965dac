import django.db.models.functions.datetime
from django.db import migrations, models

import lockstep.changes.models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('lockstep', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='DriftCheck',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), primary_key=True, serialize=False)),
                ('provider', models.TextField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('counts', models.JSONField(help_text='{"create": n, "update": n, "delete": n, "not_persisted": n}')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Import',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), primary_key=True, serialize=False)),
                ('provider', models.TextField()),
                ('began', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('completed', models.DateTimeField(null=True)),
                ('report', models.JSONField(default=dict)),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='MirrorState',
            fields=[
                ('provider', models.TextField(primary_key=True, serialize=False)),
                ('looked_at', models.DateTimeField(help_text='When the last read of its lists began.', null=True)),
                ('look_at', models.DateTimeField(help_text='When the next read is due.', null=True)),
                ('shrunk_at', models.DateTimeField(help_text='When it began to lack many copies.', null=True)),
                ('stopped_at', models.DateTimeField(help_text='When the repair stopped for an operator.', null=True)),
                ('reason', models.TextField(blank=True, db_default='')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='RemoteObject',
            fields=[
                ('pk', models.CompositePrimaryKey('object_id', 'collection', blank=True, editable=False, primary_key=True, serialize=False)),
                ('object_id', models.UUIDField()),
                ('collection', models.TextField(help_text='"<provider>/<collection>"')),
                ('remote_id', models.TextField(null=True)),
                ('intent', models.JSONField(help_text='The last write that was sent and has no response.', null=True)),
                ('acknowledged', models.UUIDField(help_text='MD5 of the acknowledged body; null: acknowledged as deleted.', null=True)),
                ('acknowledged_at', models.DateTimeField(null=True)),
                ('verified_at', models.DateTimeField(help_text='When the acknowledged state was seen at the provider.', null=True)),
                ('unkept_at', models.DateTimeField(help_text='When an acknowledged copy was not found.', null=True)),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
                'indexes': [models.Index(fields=['remote_id', 'collection'], name='lockstep_mirror_remote_id'), models.Index(condition=models.Q(('intent__isnull', False)), fields=['collection'], name='lockstep_mirror_intent'), models.Index(condition=models.Q(('verified_at__gt', models.F('acknowledged_at'))), fields=['collection'], name='lockstep_mirror_kept')],
            },
        ),
        migrations.CreateModel(
            name='SentWrite',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('collection', models.TextField(help_text='"<provider>/<collection>"')),
                ('object_id', models.UUIDField()),
                ('kind', models.TextField(choices=[('create', 'create'), ('update', 'update'), ('delete', 'delete')])),
                ('remote_id', models.TextField(null=True)),
                ('fingerprint', models.UUIDField(help_text='MD5 of the sent body, or of the deleted copy.', null=True)),
                ('answered', models.BooleanField(db_default=False)),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
                'indexes': [models.Index(fields=['object_id'], name='lockstep_mirror_sent_object'), models.Index(condition=models.Q(('answered', False)), fields=['collection'], name='lockstep_mirror_unanswered')],
            },
        ),
    ]
