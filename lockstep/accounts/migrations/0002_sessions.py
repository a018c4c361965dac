"""In a migration of its own, because sessions refer to applications of oauth2_provider, and these to users.

It depends on all migrations of that library, and not on its first alone: most of them make Django build the classes
anew that are related to users, and so early there are few (decision 43).
"""

import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import lockstep.changes.entities


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('oauth2_provider', '0022_refreshtoken_token_family_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='Session',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to=settings.AUTH_USER_MODEL)),
                ('client', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to=settings.OAUTH2_PROVIDER_APPLICATION_MODEL)),
                ('scope', models.TextField(help_text='What its tokens may: read, write or both, with a space between them.')),
                ('address', models.GenericIPAddressField(help_text='From where it was opened.', null=True)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires', models.DateTimeField(db_index=True, help_text='When the last of its tokens has expired.')),
                ('revoked', models.DateTimeField(null=True)),
            ],
            options={
                'triggers': [
                    pgtrigger.compiler.Trigger(name='withdraw', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.revoked IS NULL AND NEW.revoked IS NOT NULL OR NEW.expires < OLD.expires)', func='PERFORM FROM accounts_session WHERE id = OLD.id FOR UPDATE;\nRETURN NEW;', hash='10abe4d73e8d8f1473102755dfbf5b3308563c85', operation='UPDATE', pgid='pgtrigger_withdraw_510b7', table='accounts_session', when='BEFORE')),
                ],
            },
        ),
        migrations.CreateModel(
            name='Token',
            fields=[
                ('digest', models.BinaryField(primary_key=True, serialize=False)),
                ('session', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to='accounts.session')),
                ('kind', models.TextField(choices=[('access', 'Access'), ('refresh', 'Refresh')])),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires', models.DateTimeField(db_index=True)),
                ('used', models.DateTimeField(help_text='When a refresh token was first exchanged.', null=True)),
            ],
        ),
    ]
