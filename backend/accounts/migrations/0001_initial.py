import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import backend.accounts.models
import backend.entities.folding
import lockstep.changes.models
import backend.entities.models
from backend.entities.migration_operations import AddTrigger


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('entities', '0001_initial'),
        ('lockstep', '0001_initial'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE accounts_user_number", "DROP SEQUENCE accounts_user_number"),
        migrations.CreateModel(
            name='LoginAttemptCount',
            fields=[
                ('key', models.BinaryField(primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('until', models.DateTimeField(db_index=True, help_text='When the count ends.')),
            ],
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=backend.entities.models.NextNumber('accounts_user_number'), editable=False, unique=True)),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Public. Letters, digits and . + - _ only.', max_length=150, unique=True, validators=[backend.accounts.models.HandleValidator()])),
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
            },
        ),
        migrations.CreateModel(
            name='Follow',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('followed', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='followings', to=settings.AUTH_USER_MODEL)),
                ('follower', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='follows', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('username__contains', '@'), _negated=True), name='accounts_user_username_no_address', violation_error_message='Use letters, digits and . + - _ only. An e-mail address signs in as well, and is not shown to others.'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.UniqueConstraint(backend.entities.folding.Fold('username'), name='accounts_user_username_ci', violation_error_message='Already in use.'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.UniqueConstraint(backend.entities.folding.Fold('email'), condition=models.Q(('deleted', None), models.Q(('email', ''), _negated=True)), name='accounts_user_email_ci', violation_error_message='Already in use.'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('email__regex', '^[^@]*$|@[ -~]*$')), name='accounts_user_email_domain', violation_error_message='Must be a valid e-mail address.'),
        ),
        AddTrigger(
            model_name='user',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='6e6842d0a5d2600fa66841f57f4823feedd9ae82', operation='UPDATE', pgid='pgtrigger_touch_76bcd', table='accounts_user', when='BEFORE')),
        ),
        AddTrigger(
            model_name='user',
            trigger=pgtrigger.compiler.Trigger(name='withdraw', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.deleted IS NULL AND NEW.deleted IS NOT NULL OR OLD.is_active AND NOT NEW.is_active\nOR OLD.is_staff AND NOT NEW.is_staff OR OLD.is_superuser AND NOT NEW.is_superuser OR OLD.password <> NEW.password)', func="PERFORM FROM accounts_user WHERE id = OLD.id FOR UPDATE;\nIF OLD.deleted IS NULL AND NEW.deleted IS NOT NULL THEN\n    NEW.password := '!';\n    NEW.last_login := NULL;\n    NEW.is_staff := false;\n    NEW.is_superuser := false;\nEND IF;\nRETURN NEW;", hash='e0d2eae4a17ae579a1975e2fdc06705000de6e54', operation='UPDATE', pgid='pgtrigger_withdraw_bd181', table='accounts_user', when='BEFORE')),
        ),
        AddTrigger(
            model_name='user',
            trigger=pgtrigger.compiler.Trigger(name='close_sessions', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.deleted IS NULL AND NEW.deleted IS NOT NULL OR OLD.is_active AND NOT NEW.is_active OR OLD.password <> NEW.password)', func="IF NEW.deleted IS NULL THEN\n    UPDATE accounts_session SET revoked = now()\n    WHERE user_id = NEW.id AND revoked IS NULL\n      AND (NOT NEW.is_active OR coalesce(current_setting('lockstep.kept_sessions', true), '') NOT IN ('all', id::text));\n    RETURN NULL;\nEND IF;\nPERFORM FROM accounts_session WHERE user_id = NEW.id ORDER BY id FOR UPDATE;\nDELETE FROM accounts_token WHERE session_id IN (SELECT id FROM accounts_session WHERE user_id = NEW.id);\nDELETE FROM accounts_session WHERE user_id = NEW.id;\nUPDATE accounts_follow SET deleted = now() WHERE id IN (\n    SELECT id FROM accounts_follow WHERE (follower_id = NEW.id OR followed_id = NEW.id) AND deleted IS NULL\n    ORDER BY id FOR NO KEY UPDATE);\nRETURN NULL;", hash='1fa263a1b4976a4d858f0c3b7d8a018461d7218b', operation='UPDATE', pgid='pgtrigger_close_sessions_282b5', table='accounts_user', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='follow',
            constraint=models.UniqueConstraint(models.F('follower'), models.F('followed'), condition=models.Q(('deleted', None)), name='accounts_follow_once'),
        ),
        migrations.AddConstraint(
            model_name='follow',
            constraint=models.CheckConstraint(condition=models.Q(('follower', models.F('followed')), _negated=True), name='accounts_follow_others'),
        ),
        AddTrigger(
            model_name='follow',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='16031e7ae641c099c0cf341e614ae0b84fad424c', operation='UPDATE', pgid='pgtrigger_touch_3e245', table='accounts_follow', when='BEFORE')),
        ),
        AddTrigger(
            model_name='follow',
            trigger=pgtrigger.compiler.Trigger(name='alive_follower_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."follower_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."follower_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."follower_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'accounts_follow_follower_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='e6fc25fe4b868696265a88b542727917f378f45a', operation='INSERT', pgid='pgtrigger_alive_follower_insert_43795', table='accounts_follow', when='BEFORE')),
        ),
        AddTrigger(
            model_name='follow',
            trigger=pgtrigger.compiler.Trigger(name='alive_follower_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."follower_id" IS DISTINCT FROM OLD."follower_id"))', func='IF NEW."follower_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."follower_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."follower_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'accounts_follow_follower_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='dc95aeeb010ffda48c955ab0a23adeaef75109ef', operation='UPDATE OF "follower_id", "deleted"', pgid='pgtrigger_alive_follower_update_62fee', table='accounts_follow', when='BEFORE')),
        ),
        AddTrigger(
            model_name='follow',
            trigger=pgtrigger.compiler.Trigger(name='alive_followed_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."followed_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."followed_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."followed_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'accounts_follow_followed_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='c49cde12cd2f621548fe1bba2eefb7f6c944f3ad', operation='INSERT', pgid='pgtrigger_alive_followed_insert_b4e2d', table='accounts_follow', when='BEFORE')),
        ),
        AddTrigger(
            model_name='follow',
            trigger=pgtrigger.compiler.Trigger(name='alive_followed_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."followed_id" IS DISTINCT FROM OLD."followed_id"))', func='IF NEW."followed_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."followed_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."followed_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'accounts_follow_followed_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='82a6c6f7191eef11fcfdc6b911a23717eafb6682', operation='UPDATE OF "followed_id", "deleted"', pgid='pgtrigger_alive_followed_update_795ba', table='accounts_follow', when='BEFORE')),
        ),
    ]
