import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import lockstep.changes.models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('lockstep', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Endpoint',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('url', models.TextField()),
                ('description', models.TextField(blank=True, db_default='')),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='Patterns such as "posts.post.*".', size=None)),
                ('secret', models.BinaryField(help_text='Encrypted; see encryption.py.')),
                ('old_secrets', django.contrib.postgres.fields.ArrayField(base_field=models.BinaryField(), db_default=[], editable=False, help_text='Encrypted; each signs, too, until its end.', size=None)),
                ('old_secrets_until', django.contrib.postgres.fields.ArrayField(base_field=models.DateTimeField(), db_default=[], editable=False, size=None)),
                ('failing_since', models.DateTimeField(editable=False, help_text='First failure since the last success.', null=True)),
                ('disabled', models.DateTimeField(editable=False, null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it is disabled.')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='webhooks', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
                'indexes': [models.Index(fields=['owner', '-id'], name='lockstep_webhooks_endpoint_of')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='endpoint',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='7d89d840b027c4a0891751084656e7fac589ed35', operation='UPDATE', pgid='pgtrigger_touch_7ed03', table='lockstep_webhooks_endpoint', when='BEFORE')),
        ),
    ]
