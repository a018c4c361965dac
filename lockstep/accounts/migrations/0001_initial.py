import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import lockstep.accounts.models
import lockstep.changes.entities
import lockstep.changes.folding


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('changes', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE accounts_user_number", "DROP SEQUENCE accounts_user_number"),
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=lockstep.changes.entities.NextNumber('accounts_user_number'), editable=False, unique=True)),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Others see it. Letters, digits and . + - _ only.', max_length=150, unique=True, validators=[lockstep.accounts.models.HandleValidator()])),
                ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': 'user',
                'verbose_name_plural': 'users',
                'abstract': False,
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('username__contains', '@'), _negated=True), name='accounts_user_username_no_address', violation_error_message='Use letters, digits and . + - _ only. An e-mail address signs in as well, and is not shown to others.'),
                    models.UniqueConstraint(lockstep.changes.folding.Fold('username'), name='accounts_user_username_ci', violation_error_message='Already in use.'),
                    models.UniqueConstraint(lockstep.changes.folding.Fold('email'), condition=models.Q(('deleted', None), models.Q(('email', ''), _negated=True)), name='accounts_user_email_ci', violation_error_message='Already in use.'),
                    models.CheckConstraint(condition=models.Q(('email__regex', '^[^@]*$|@[ -~]*$')), name='accounts_user_email_domain', violation_error_message='Must be a valid e-mail address.'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'accounts.user\', n."id"::text, \'created\', jsonb_build_object(\'number\', n."number", \'username\', n."username", \'email\', n."email", \'first_name\', n."first_name", \'last_name\', n."last_name", \'is_active\', n."is_active", \'is_staff\', n."is_staff")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='96a8b18b49fbe3bc6925d0febf5f6cd0cbd207d6', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_f1e76', referencing='REFERENCING NEW TABLE AS new_rows ', table='accounts_user', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'accounts.user\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'number\', o."number", \'username\', o."username", \'email\', o."email", \'first_name\', o."first_name", \'last_name\', o."last_name", \'is_active\', o."is_active", \'is_staff\', o."is_staff") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'number\', n."number", \'username\', n."username", \'email\', n."email", \'first_name\', n."first_name", \'last_name\', n."last_name", \'is_active\', n."is_active", \'is_staff\', n."is_staff") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='8eabaa74a7497d4bd211f8f79ea31bc0726d850e', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_9bd3a', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='accounts_user', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'accounts.user\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'username\', o."username", \'email\', o."email", \'first_name\', o."first_name", \'last_name\', o."last_name", \'is_active\', o."is_active", \'is_staff\', o."is_staff")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='6d63976a342954edb0dd5b6e2d96c6fe8b45aa55', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_102d1', referencing='REFERENCING OLD TABLE AS old_rows ', table='accounts_user', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "accounts_user" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'accounts.user\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'username\', o."username", \'email\', o."email", \'first_name\', o."first_name", \'last_name\', o."last_name", \'is_active\', o."is_active", \'is_staff\', o."is_staff")\nFROM "accounts_user" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='f2019a553750bb9a78c50ae60639f325b66e14a3', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_a7e8b', table='accounts_user', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='6e6842d0a5d2600fa66841f57f4823feedd9ae82', operation='UPDATE', pgid='pgtrigger_touch_76bcd', table='accounts_user', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='withdraw', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.deleted IS NULL AND NEW.deleted IS NOT NULL OR OLD.is_active AND NOT NEW.is_active\nOR OLD.is_staff AND NOT NEW.is_staff OR OLD.is_superuser AND NOT NEW.is_superuser OR OLD.password <> NEW.password)', func="PERFORM FROM accounts_user WHERE id = OLD.id FOR UPDATE;\nIF OLD.deleted IS NULL AND NEW.deleted IS NOT NULL THEN\n    NEW.password := '!';\n    NEW.last_login := NULL;\n    NEW.is_staff := false;\n    NEW.is_superuser := false;\nEND IF;\nRETURN NEW;", hash='e0d2eae4a17ae579a1975e2fdc06705000de6e54', operation='UPDATE', pgid='pgtrigger_withdraw_bd181', table='accounts_user', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='close_sessions', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.deleted IS NULL AND NEW.deleted IS NOT NULL OR OLD.is_active AND NOT NEW.is_active OR OLD.password <> NEW.password)', func="IF NEW.deleted IS NULL THEN\n    UPDATE accounts_session SET revoked = now()\n    WHERE user_id = NEW.id AND revoked IS NULL\n      AND (NOT NEW.is_active OR coalesce(current_setting('lockstep.kept_sessions', true), '') NOT IN ('all', id::text));\n    RETURN NULL;\nEND IF;\nDELETE FROM accounts_token WHERE session_id IN (SELECT id FROM accounts_session WHERE user_id = NEW.id);\nDELETE FROM accounts_session WHERE user_id = NEW.id;\nUPDATE accounts_follow SET deleted = now() WHERE id IN (\n    SELECT id FROM accounts_follow WHERE (follower_id = NEW.id OR followed_id = NEW.id) AND deleted IS NULL\n    ORDER BY id FOR NO KEY UPDATE);\nRETURN NULL;", hash='a87ec34a18497e4e3600b041b6c959602ec1754a', operation='UPDATE', pgid='pgtrigger_close_sessions_282b5', table='accounts_user', when='AFTER')),
                ],
            },
        ),
        migrations.CreateModel(
            name='Follow',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('follower', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='follows', to=settings.AUTH_USER_MODEL)),
                ('followed', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='followings', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(models.F('follower'), models.F('followed'), condition=models.Q(('deleted', None)), name='accounts_follow_once'),
                    models.CheckConstraint(condition=models.Q(('follower', models.F('followed')), _negated=True), name='accounts_follow_others'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'accounts.follow\', n."id"::text, \'created\', jsonb_build_object(\'follower_id\', n."follower_id", \'followed_id\', n."followed_id")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='1be3e606bcc76ab362c99a1542f8a1e0e3d67d9e', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_7cb5e', referencing='REFERENCING NEW TABLE AS new_rows ', table='accounts_follow', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'accounts.follow\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'follower_id\', o."follower_id", \'followed_id\', o."followed_id") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'follower_id\', n."follower_id", \'followed_id\', n."followed_id") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='19eb9f377c6d735b69fd10592ca1e8b903445cac', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_b0c39', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='accounts_follow', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'accounts.follow\', o."id"::text, \'deleted\', jsonb_build_object(\'follower_id\', o."follower_id", \'followed_id\', o."followed_id")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='6226f5f23edde763a4d7626514a30cc336ac4d88', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_d1e43', referencing='REFERENCING OLD TABLE AS old_rows ', table='accounts_follow', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "accounts_follow" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'accounts.follow\', o."id"::text, \'deleted\', jsonb_build_object(\'follower_id\', o."follower_id", \'followed_id\', o."followed_id")\nFROM "accounts_follow" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='7e96218d7fa2137f8fbb733cccb3c6ce71a78cfa', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_d4b9f', table='accounts_follow', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='16031e7ae641c099c0cf341e614ae0b84fad424c', operation='UPDATE', pgid='pgtrigger_touch_3e245', table='accounts_follow', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_follower_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.follower_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.follower_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.follower_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'accounts_follow_follower_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='e15c41f506a749e421f818fb8cffa02224f1f9a7', operation='INSERT', pgid='pgtrigger_alive_follower_insert_43795', table='accounts_follow', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_follower_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.follower_id IS DISTINCT FROM OLD.follower_id))', func="\nIF NEW.follower_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.follower_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.follower_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'accounts_follow_follower_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='427d2736555ce2968579d3ed0a879ac71bb75a4d', operation='UPDATE OF "follower_id", "deleted"', pgid='pgtrigger_alive_follower_update_62fee', table='accounts_follow', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_followed_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.followed_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.followed_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.followed_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'accounts_follow_followed_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='a800aa0da69d636de2d056d4c3ef192197ee4240', operation='INSERT', pgid='pgtrigger_alive_followed_insert_b4e2d', table='accounts_follow', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_followed_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.followed_id IS DISTINCT FROM OLD.followed_id))', func="\nIF NEW.followed_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.followed_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.followed_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'accounts_follow_followed_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='e3352c0d2875b8172f227c208e220794cb610cb2', operation='UPDATE OF "followed_id", "deleted"', pgid='pgtrigger_alive_followed_update_795ba', table='accounts_follow', when='BEFORE')),
                ],
            },
        ),
        migrations.CreateModel(
            name='Tries',
            fields=[
                ('key', models.BinaryField(primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('until', models.DateTimeField(db_index=True, help_text='When it is forgotten.')),
            ],
        ),
    ]
