import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.db import migrations, models

import lockstep.changes.models
import backend.entities.models
from backend.entities.migration_operations import AddTrigger


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('entities', '0001_initial'),
        ('lockstep', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE posts_post_number MAXVALUE 9007199254740991", "DROP SEQUENCE posts_post_number"),
        migrations.RunSQL("CREATE SEQUENCE posts_comment_number MAXVALUE 9007199254740991", "DROP SEQUENCE posts_comment_number"),
        migrations.CreateModel(
            name='Post',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=backend.entities.models.NextNumber('posts_post_number'), editable=False, unique=True)),
                ('user_id', models.BigIntegerField(db_default=99999942, editable=False, help_text="The provider's user.")),
                ('title', models.TextField(validators=[django.core.validators.MaxLengthValidator(1000)])),
                ('body', models.TextField(validators=[django.core.validators.MaxLengthValidator(100000)])),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('number__range', (0, 9007199254740991))), name='posts_post_number_reachable')],
            },
        ),
        migrations.CreateModel(
            name='Comment',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=backend.entities.models.NextNumber('posts_comment_number'), editable=False, unique=True)),
                ('name', models.TextField(validators=[django.core.validators.MaxLengthValidator(1000)])),
                ('email', models.TextField(validators=[django.core.validators.EmailValidator(), django.core.validators.MaxLengthValidator(254)])),
                ('body', models.TextField(validators=[django.core.validators.MaxLengthValidator(100000)])),
                ('post', models.ForeignKey(db_constraint=False, limit_choices_to={'deleted': None}, on_delete=django.db.models.deletion.CASCADE, related_name='comments', to='posts.post')),
            ],
        ),
        AddTrigger(
            model_name='post',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='eb90a6d12beea589337ab064bf794bcb40047d8b', operation='UPDATE', pgid='pgtrigger_touch_7be74', table='posts_post', when='BEFORE')),
        ),
        AddTrigger(
            model_name='post',
            trigger=pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM "posts_post" WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='1d2372ba35ae94780276a6c555e36df42c3626ca', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_e7ea9', table='posts_post', when='BEFORE')),
        ),
        AddTrigger(
            model_name='post',
            trigger=pgtrigger.compiler.Trigger(name='delete_posts_comment', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='UPDATE "posts_comment" SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM "posts_comment" WHERE "post_id" = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;', hash='5a384d67b5fdd3f81d15080493c6afdbc2b80dc7', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_posts_comment_ba7dd', table='posts_post', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='comment',
            constraint=models.CheckConstraint(condition=models.Q(('number__range', (0, 9007199254740991))), name='posts_comment_number_reachable'),
        ),
        AddTrigger(
            model_name='comment',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='f758e9570b9055837689f4c8930fd0029fff5a14', operation='UPDATE', pgid='pgtrigger_touch_60cfb', table='posts_comment', when='BEFORE')),
        ),
        AddTrigger(
            model_name='comment',
            trigger=pgtrigger.compiler.Trigger(name='alive_post_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."post_id" IS DISTINCT FROM OLD."post_id"))', func='IF NEW."post_id" IS NOT NULL THEN\n    PERFORM FROM "posts_post" WHERE "id" = NEW."post_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'posts.post\', NEW."post_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'posts_comment_post_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='d1392d3c588d1c0fa491607f51a4dabbf10865d6', operation='UPDATE OF "post_id", "deleted"', pgid='pgtrigger_alive_post_update_5a26b', table='posts_comment', when='BEFORE')),
        ),
        AddTrigger(
            model_name='comment',
            trigger=pgtrigger.compiler.Trigger(name='refuse_deleted_post', sql=pgtrigger.compiler.UpsertTriggerSql(func="PERFORM FROM posts_post WHERE id IN (SELECT post_id FROM new_rows) ORDER BY id FOR KEY SHARE;\nIF EXISTS (SELECT FROM new_rows n JOIN posts_post p ON p.id = n.post_id WHERE p.deleted IS NOT NULL)\nTHEN\n    RAISE EXCEPTION 'A comment needs a post that is not deleted.' USING ERRCODE = 'check_violation';\nEND IF;\nRETURN NULL;", hash='87223425b8d22bc6f840701a863717d38faa579e', level='STATEMENT', operation='INSERT', pgid='pgtrigger_refuse_deleted_post_34256', referencing='REFERENCING NEW TABLE AS new_rows ', table='posts_comment', when='AFTER')),
        ),
        migrations.RunSQL(
            "ALTER TABLE posts_comment ADD CONSTRAINT posts_comment_post FOREIGN KEY (post_id)"
            " REFERENCES posts_post (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE posts_comment DROP CONSTRAINT posts_comment_post",
        ),
    ]
