import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models

import lockstep.changes.entities
import lockstep.changes.folding


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('changes', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        TrigramExtension(),
        migrations.RunSQL("CREATE SEQUENCE defects_defect_number", "DROP SEQUENCE defects_defect_number"),
        migrations.CreateModel(
            name='Defect',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=lockstep.changes.entities.NextNumber('defects_defect_number'), editable=False, unique=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='defects', to=settings.AUTH_USER_MODEL, to_field='number')),
                ('comment', models.TextField(validators=[django.core.validators.MaxLengthValidator(10000)])),
                ('folded', lockstep.changes.folding.FoldedField(db_default='', editable=False, help_text='The comment, as it is searched.')),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('deleted', None)), fields=['-id'], name='defects_newest'),
                    models.Index(condition=models.Q(('deleted', None)), fields=['user', '-id'], name='defects_of'),
                    django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('folded', 'gin_trgm_ops'), name='defects_searched'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'defects.defect\', n."id"::text, \'created\', jsonb_build_object(\'number\', n."number", \'user_id\', n."user_id", \'comment\', n."comment")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='45783795deaf775e2ca882ff755adeb81db79cea', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_1d8e3', referencing='REFERENCING NEW TABLE AS new_rows ', table='defects_defect', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'defects.defect\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'number\', o."number", \'user_id\', o."user_id", \'comment\', o."comment") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'number\', n."number", \'user_id\', n."user_id", \'comment\', n."comment") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='a983f14677b89faffc3bd182c691ddc1fe2c6599', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_0041b', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='defects_defect', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'defects.defect\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'user_id\', o."user_id", \'comment\', o."comment")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='7b4d39c7476b81c56a2babe830576acce07e3e27', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_5b411', referencing='REFERENCING OLD TABLE AS old_rows ', table='defects_defect', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "defects_defect" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'defects.defect\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'user_id\', o."user_id", \'comment\', o."comment")\nFROM "defects_defect" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='15b92e467b8390ea2a3b2b3fee88d25079a1259d', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_e8c00', table='defects_defect', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='6da3955d20e03dbd12ca711c92855a73e199a861', operation='UPDATE', pgid='pgtrigger_touch_084d5', table='defects_defect', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_user_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.user_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE number = NEW.user_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.user_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'defects_defect_user_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='6e1510b427c21fd2d9fa5de3e65baf6d726b381d', operation='INSERT', pgid='pgtrigger_alive_user_insert_b3f11', table='defects_defect', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_user_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.user_id IS DISTINCT FROM OLD.user_id))', func="\nIF NEW.user_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE number = NEW.user_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.user_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'defects_defect_user_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='034a630dc7f07e11832a36ae30a58d2232b3739e', operation='UPDATE OF "user_id", "deleted"', pgid='pgtrigger_alive_user_update_01125', table='defects_defect', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='write_folded', sql=pgtrigger.compiler.UpsertTriggerSql(func="NEW.folded := lockstep_fold(coalesce(NEW.comment, '')); RETURN NEW;", hash='9fdbb01915aa17df3e3eea09f0534362061147df', operation='INSERT OR UPDATE OF "comment", "folded"', pgid='pgtrigger_write_folded_6329c', table='defects_defect', when='BEFORE')),
                ],
            },
        ),
    ]
