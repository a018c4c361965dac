import django.db.models.functions.datetime
from django.db import migrations, models

import lockstep.changes.entities


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('changes', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='RemoteObject',
            fields=[
                ('pk', models.CompositePrimaryKey('object_id', 'collection', blank=True, editable=False, primary_key=True, serialize=False)),
                ('object_id', models.UUIDField()),
                ('collection', models.TextField(help_text='"<provider>/<collection>"')),
                ('remote_id', models.TextField(null=True)),
                ('intent', models.JSONField(help_text='What we last began to send and have no answer to.', null=True)),
                ('acknowledged', models.UUIDField(help_text='MD5 of the acknowledged body; null: acknowledged as deleted.', null=True)),
                ('acknowledged_at', models.DateTimeField(null=True)),
                ('verified_at', models.DateTimeField(help_text='When the acknowledged state was seen at the provider.', null=True)),
                ('unkept_at', models.DateTimeField(help_text='When it was looked for and not found there.', null=True)),
            ],
            options={
                'indexes': [
                    models.Index(fields=['remote_id', 'collection'], name='mirror_remote_id'),
                    models.Index(condition=models.Q(('intent__isnull', False)), fields=['collection'], name='mirror_intent'),
                    models.Index(condition=models.Q(('verified_at__gt', models.F('acknowledged_at'))), fields=['collection'], name='mirror_kept'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Import',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), primary_key=True, serialize=False)),
                ('provider', models.TextField()),
                ('began', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('completed', models.DateTimeField(null=True)),
                ('report', models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name='DriftCheck',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), primary_key=True, serialize=False)),
                ('provider', models.TextField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('counts', models.JSONField(help_text='{"create": n, "update": n, "delete": n, "unkept": n}')),
            ],
        ),
    ]
