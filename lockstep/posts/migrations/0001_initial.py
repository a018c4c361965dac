import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.db import migrations, models

import lockstep.changes.entities


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('changes', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE posts_post_number", "DROP SEQUENCE posts_post_number"),
        migrations.RunSQL("CREATE SEQUENCE posts_comment_number", "DROP SEQUENCE posts_comment_number"),
        migrations.CreateModel(
            name='Post',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=lockstep.changes.entities.NextNumber('posts_post_number'), editable=False, unique=True)),
                ('user_id', models.BigIntegerField(db_default=99999942, editable=False, help_text="The provider's user.")),
                ('title', models.TextField(validators=[django.core.validators.MaxLengthValidator(1000)])),
                ('body', models.TextField(validators=[django.core.validators.MaxLengthValidator(100000)])),
            ],
            options={
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'posts.post\', n."id"::text, \'created\', jsonb_build_object(\'number\', n."number", \'user_id\', n."user_id", \'title\', n."title", \'body\', n."body")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='097d4a73f390303f613e5690892b627709295400', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_5de32', referencing='REFERENCING NEW TABLE AS new_rows ', table='posts_post', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'posts.post\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'number\', o."number", \'user_id\', o."user_id", \'title\', o."title", \'body\', o."body") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'number\', n."number", \'user_id\', n."user_id", \'title\', n."title", \'body\', n."body") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='7c2fa9bffe24c660d376bb2614aae4f100bfc15d', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_f9d1f', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='posts_post', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'posts.post\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'user_id\', o."user_id", \'title\', o."title", \'body\', o."body")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='b94bcc837c97034e4ad13ff587208dca735ce464', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_a214a', referencing='REFERENCING OLD TABLE AS old_rows ', table='posts_post', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "posts_post" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'posts.post\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'user_id\', o."user_id", \'title\', o."title", \'body\', o."body")\nFROM "posts_post" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='5aab08ffe37fba62f6986850e9b3fb9502a764a0', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_9c776', table='posts_post', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='eb90a6d12beea589337ab064bf794bcb40047d8b', operation='UPDATE', pgid='pgtrigger_touch_7be74', table='posts_post', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM posts_post WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='705060baad1e6efe3028e353049985961215152a', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_e7ea9', table='posts_post', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='delete_posts_comment', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE posts_comment SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM posts_comment WHERE post_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='ca606c8a6f60e5b13c600b6e1044caabf709af42', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_posts_comment_ba7dd', table='posts_post', when='AFTER')),
                ],
            },
        ),
        migrations.CreateModel(
            name='Comment',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=lockstep.changes.entities.NextNumber('posts_comment_number'), editable=False, unique=True)),
                ('post', models.ForeignKey(db_constraint=False, limit_choices_to={'deleted': None}, on_delete=django.db.models.deletion.CASCADE, related_name='comments', to='posts.post')),
                ('name', models.TextField(validators=[django.core.validators.MaxLengthValidator(1000)])),
                ('email', models.TextField(validators=[django.core.validators.EmailValidator(), django.core.validators.MaxLengthValidator(254)])),
                ('body', models.TextField(validators=[django.core.validators.MaxLengthValidator(100000)])),
            ],
            options={
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'posts.comment\', n."id"::text, \'created\', jsonb_build_object(\'number\', n."number", \'post_id\', n."post_id", \'name\', n."name", \'email\', n."email", \'body\', n."body")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='3bb5ede782db9de576589e339ba0332219a42ace', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_00835', referencing='REFERENCING NEW TABLE AS new_rows ', table='posts_comment', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'posts.comment\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'number\', o."number", \'post_id\', o."post_id", \'name\', o."name", \'email\', o."email", \'body\', o."body") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'number\', n."number", \'post_id\', n."post_id", \'name\', n."name", \'email\', n."email", \'body\', n."body") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='7c41dae5576ef67fe8278ae6101438d46256adcf', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_3780f', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='posts_comment', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'posts.comment\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'post_id\', o."post_id", \'name\', o."name", \'email\', o."email", \'body\', o."body")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='250c734377a19b53ac664d9fb01c6050acb18c59', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_37bdf', referencing='REFERENCING OLD TABLE AS old_rows ', table='posts_comment', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "posts_comment" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'posts.comment\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'post_id\', o."post_id", \'name\', o."name", \'email\', o."email", \'body\', o."body")\nFROM "posts_comment" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='cc59c048a856f6a164d1988770d348339633a067', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_49309', table='posts_comment', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='f758e9570b9055837689f4c8930fd0029fff5a14', operation='UPDATE', pgid='pgtrigger_touch_60cfb', table='posts_comment', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_post_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.post_id IS DISTINCT FROM OLD.post_id))', func="\nIF NEW.post_id IS NOT NULL THEN\n    PERFORM FROM posts_post WHERE id = NEW.post_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'posts.post % does not exist or is deleted.', NEW.post_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'posts_comment_post_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='b02d50e05d5381c114486469bcf30b6e54649763', operation='UPDATE OF "post_id", "deleted"', pgid='pgtrigger_alive_post_update_5a26b', table='posts_comment', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='refuse_deleted_post', sql=pgtrigger.compiler.UpsertTriggerSql(func="\n                    PERFORM FROM posts_post WHERE id IN (SELECT post_id FROM new_rows) ORDER BY id FOR KEY SHARE;\n                    IF EXISTS (SELECT FROM new_rows n JOIN posts_post p ON p.id = n.post_id WHERE p.deleted IS NOT NULL)\n                    THEN\n                        RAISE EXCEPTION 'A comment needs a post that is not deleted.' USING ERRCODE = 'check_violation';\n                    END IF;\n                    RETURN NULL;\n                ", hash='c7027c15bc80531e357e6e625a7af2a65a60f26f', level='STATEMENT', operation='INSERT', pgid='pgtrigger_refuse_deleted_post_34256', referencing='REFERENCING NEW TABLE AS new_rows ', table='posts_comment', when='AFTER')),
                ],
            },
        ),
        migrations.RunSQL(
            "ALTER TABLE posts_comment ADD CONSTRAINT posts_comment_post FOREIGN KEY (post_id)"
            " REFERENCES posts_post (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE posts_comment DROP CONSTRAINT posts_comment_post",
        ),
    ]
