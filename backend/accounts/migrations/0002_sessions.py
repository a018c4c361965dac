import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import lockstep.changes.models
import backend.entities.models
from backend.entities.migration_operations import AddTrigger


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        # The whole history of the package here, where few models exist that refer to users: each of its hundred
        # alterations makes Django build the classes of all of those anew. That is a fifth of a first start.
        ('oauth2_provider', '0022_refreshtoken_token_family_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='Session',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('scope', models.TextField(help_text='The scopes of its tokens: read, write or both, separated by a space.')),
                ('address', models.GenericIPAddressField(help_text='The address that opened it.', null=True)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires', models.DateTimeField(db_index=True, help_text='When the last of its tokens has expired.')),
                ('revoked', models.DateTimeField(null=True)),
                ('client', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to=settings.OAUTH2_PROVIDER_APPLICATION_MODEL)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Token',
            fields=[
                ('digest', models.BinaryField(primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('access', 'Access'), ('refresh', 'Refresh')])),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires', models.DateTimeField(db_index=True)),
                ('used', models.DateTimeField(help_text='When a refresh token was first used.', null=True)),
                ('session', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to='accounts.session')),
            ],
        ),
        AddTrigger(
            model_name='session',
            trigger=pgtrigger.compiler.Trigger(name='withdraw', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.revoked IS NULL AND NEW.revoked IS NOT NULL OR NEW.expires < OLD.expires)', func='PERFORM FROM accounts_session WHERE id = OLD.id FOR UPDATE;\nRETURN NEW;', hash='10abe4d73e8d8f1473102755dfbf5b3308563c85', operation='UPDATE', pgid='pgtrigger_withdraw_510b7', table='accounts_session', when='BEFORE')),
        ),
    ]
