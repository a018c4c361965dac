import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import lockstep.changes.entities


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('changes', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Endpoint',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='webhooks', to=settings.AUTH_USER_MODEL)),
                ('url', models.TextField()),
                ('description', models.TextField(blank=True, db_default='')),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='Patterns such as "posts.post.*".', size=None)),
                ('secret', models.BinaryField(help_text='Sealed; see sealing.py.')),
                ('old_secret', models.BinaryField(help_text='Signs beside the new one for a while.', null=True)),
                ('old_secret_until', models.DateTimeField(editable=False, null=True)),
                ('failing_since', models.DateTimeField(editable=False, help_text='First failure since the last success.', null=True)),
                ('disabled', models.DateTimeField(editable=False, null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it is disabled.')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['owner', '-id'], name='webhooks_endpoint_of'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'webhooks.endpoint\', n."id"::text, \'created\', jsonb_build_object(\'owner_id\', n."owner_id", \'description\', n."description", \'events\', n."events", \'disabled\', to_char(n."disabled" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', n."reason")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='a86af5c0a5122023a44bc561c6d663b150644d94', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_9fa5c', referencing='REFERENCING NEW TABLE AS new_rows ', table='webhooks_endpoint', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'webhooks.endpoint\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'owner_id\', o."owner_id", \'description\', o."description", \'events\', o."events", \'disabled\', to_char(o."disabled" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', o."reason") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'owner_id\', n."owner_id", \'description\', n."description", \'events\', n."events", \'disabled\', to_char(n."disabled" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', n."reason") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='f0b538668dc052120bebcff2d036c6f4373a5591', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_395dc', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='webhooks_endpoint', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'webhooks.endpoint\', o."id"::text, \'deleted\', jsonb_build_object(\'owner_id\', o."owner_id", \'description\', o."description", \'events\', o."events", \'disabled\', to_char(o."disabled" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', o."reason")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='6edd85d8b3bfe54dee77290555ca567ea9ece350', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_efe3e', referencing='REFERENCING OLD TABLE AS old_rows ', table='webhooks_endpoint', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "webhooks_endpoint" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'webhooks.endpoint\', o."id"::text, \'deleted\', jsonb_build_object(\'owner_id\', o."owner_id", \'description\', o."description", \'events\', o."events", \'disabled\', to_char(o."disabled" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', o."reason")\nFROM "webhooks_endpoint" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='bc4fbf7556a5e47af6a1c9c8b639d19710126281', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_655b9', table='webhooks_endpoint', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='d092c63cbb0443358092edecacf51ad4e7a64f1e', operation='UPDATE', pgid='pgtrigger_touch_6ab1b', table='webhooks_endpoint', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_owner_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.owner_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.owner_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.owner_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'webhooks_endpoint_owner_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='052a60f692753f643c5e2f5a60e91d1c9eba9723', operation='INSERT', pgid='pgtrigger_alive_owner_insert_45b66', table='webhooks_endpoint', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_owner_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.owner_id IS DISTINCT FROM OLD.owner_id))', func="\nIF NEW.owner_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.owner_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.owner_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'webhooks_endpoint_owner_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='a20c5d762c604adcdad48235faf09b2083ddb743', operation='UPDATE OF "owner_id", "deleted"', pgid='pgtrigger_alive_owner_update_c87f0', table='webhooks_endpoint', when='BEFORE')),
                ],
            },
        ),
    ]
