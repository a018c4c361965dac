import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import backend.entities.folding
import lockstep.changes.models
import backend.entities.models
from backend.entities.migration_operations import AddTrigger


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('entities', '0001_initial'),
        ('lockstep', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE defects_defect_number", "DROP SEQUENCE defects_defect_number"),
        migrations.CreateModel(
            name='Defect',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=backend.entities.models.NextNumber('defects_defect_number'), editable=False, unique=True)),
                ('comment', models.TextField(validators=[django.core.validators.MaxLengthValidator(10000)])),
                ('folded', backend.entities.folding.FoldedField(db_default='', editable=False, help_text='The folded comment, for searches.')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='defects', to=settings.AUTH_USER_MODEL, to_field='number')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('deleted', None)), fields=['-id'], name='defects_newest'), models.Index(condition=models.Q(('deleted', None)), fields=['user', '-id'], name='defects_of'), django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('folded', 'gin_trgm_ops'), name='defects_searched')],
            },
        ),
        AddTrigger(
            model_name='defect',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='6da3955d20e03dbd12ca711c92855a73e199a861', operation='UPDATE', pgid='pgtrigger_touch_084d5', table='defects_defect', when='BEFORE')),
        ),
        AddTrigger(
            model_name='defect',
            trigger=pgtrigger.compiler.Trigger(name='alive_user_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."user_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "number" = NEW."user_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."user_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'defects_defect_user_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='57e6358d7074cb5100ead928466bd79842df7384', operation='INSERT', pgid='pgtrigger_alive_user_insert_b3f11', table='defects_defect', when='BEFORE')),
        ),
        AddTrigger(
            model_name='defect',
            trigger=pgtrigger.compiler.Trigger(name='alive_user_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."user_id" IS DISTINCT FROM OLD."user_id"))', func='IF NEW."user_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "number" = NEW."user_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."user_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'defects_defect_user_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='07c2d9b38dd116cc8b4920356c9f0fbffcd58a9a', operation='UPDATE OF "user_id", "deleted"', pgid='pgtrigger_alive_user_update_01125', table='defects_defect', when='BEFORE')),
        ),
        AddTrigger(
            model_name='defect',
            trigger=pgtrigger.compiler.Trigger(name='write_folded', sql=pgtrigger.compiler.UpsertTriggerSql(func='NEW."folded" := lockstep_fold(coalesce(NEW."comment", \'\')); RETURN NEW;', hash='fb98fc57813030e47ca3211af05029d6f1f90325', operation='INSERT OR UPDATE OF "comment", "folded"', pgid='pgtrigger_write_folded_6329c', table='defects_defect', when='BEFORE')),
        ),
    ]
