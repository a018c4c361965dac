from pathlib import Path

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import backend.entities.folding
import backend.movies.models
import lockstep.changes.models
from backend.entities.migration_operations import AddTrigger
from lockstep.sql import statements

FUNCTIONS = statements(Path(__file__).parent, "functions")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('entities', '0001_initial'),
        ('lockstep', '0001_initial'),
        ('accounts', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(FUNCTIONS["wilson"], "DROP FUNCTION movies_wilson"),
        migrations.CreateModel(
            name='Movie',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('remote_id', models.UUIDField(unique=True)),
                ('title', models.TextField()),
                ('description', models.TextField(null=True)),
                ('image_url', models.TextField(null=True)),
                ('rating', models.FloatField(help_text="The provider's rating.", null=True)),
                ('missing_since', models.DateTimeField(help_text='When complete listings began to lack it.', null=True)),
                ('folded', backend.entities.folding.FoldedField(db_default='', editable=False, help_text='The folded title and description, for searches.')),
            ],
        ),
        migrations.CreateModel(
            name='Rating',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('rating_type', models.TextField(choices=[('UPVOTE', 'Upvote'), ('DOWNVOTE', 'Downvote')])),
                ('movie', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='ratings', to='movies.movie')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='movie_ratings', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Voter',
            fields=[
            ],
            options={
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('accounts.user',),
        ),
        migrations.CreateModel(
            name='Catalogue',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('refreshed', models.DateTimeField(help_text='When movies were last received.', null=True)),
                ('complete', models.DateTimeField(help_text='When the complete catalogue was last received.', null=True)),
                ('failures', models.IntegerField(db_default=0, help_text='Failed refreshes since then.')),
                ('outcome', models.TextField(blank=True, db_default='', help_text='How the last refresh ended.')),
                ('retry_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='No refresh starts before.')),
                ('lease_until', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When the claim of the current refresh ends.')),
            ],
            options={
                'verbose_name_plural': 'catalogue',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='movies_catalogue_one')],
            },
        ),
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('movie', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='tally', serialize=False, to='movies.movie')),
                ('upvotes', models.BigIntegerField(db_default=0)),
                ('downvotes', models.BigIntegerField(db_default=0)),
                ('score', models.GeneratedField(db_persist=True, expression=backend.movies.models.Wilson('upvotes', 'downvotes'), output_field=models.FloatField())),
            ],
        ),
        migrations.AddIndex(
            model_name='movie',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('folded', 'gin_trgm_ops'), name='movies_searched'),
        ),
        migrations.AddConstraint(
            model_name='movie',
            constraint=models.CheckConstraint(condition=models.Q(('rating__range', (-1.7976931348623157e+308, 1.7976931348623157e+308))), name='movies_movie_rating'),
        ),
        AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='c21633f15109df4944b2375368f5b25c8f1a8d27', operation='UPDATE', pgid='pgtrigger_touch_a72c3', table='movies_movie', when='BEFORE')),
        ),
        AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM "movies_movie" WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='07d1ac3214003602df715c852a2de3e92794bd67', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_6ea6a', table='movies_movie', when='BEFORE')),
        ),
        AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='delete_movies_rating', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='UPDATE "movies_rating" SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM "movies_rating" WHERE "movie_id" = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;', hash='e7d03f9584d61cd07084ed4e12800e1eacc44752', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_movies_rating_d421f', table='movies_movie', when='AFTER')),
        ),
        AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='write_folded', sql=pgtrigger.compiler.UpsertTriggerSql(func='NEW."folded" := lockstep_fold(coalesce(NEW."title", \'\') || \' \' || coalesce(NEW."description", \'\')); RETURN NEW;', hash='29aa809c837169ef5dfdad499f900fdb9f26f44c', operation='INSERT OR UPDATE OF "title", "description", "folded"', pgid='pgtrigger_write_folded_b02c1', table='movies_movie', when='BEFORE')),
        ),
        AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='open_tally', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO movies_tally (movie_id) SELECT id FROM new_rows;\nRETURN NULL;', hash='ddd4c78ec56a0316abf6cbc048962d9586441882', level='STATEMENT', operation='INSERT', pgid='pgtrigger_open_tally_8c4b1', referencing='REFERENCING NEW TABLE AS new_rows ', table='movies_movie', when='AFTER')),
        ),
        AddTrigger(
            model_name='voter',
            trigger=pgtrigger.compiler.Trigger(name='delete_movies_rating', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='UPDATE "movies_rating" SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM "movies_rating" WHERE "user_id" = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;', hash='0a6ae5c64ca7ab7d4af36d17f0b2721e7b47f0a8', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_movies_rating_8829d', table='accounts_user', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='tally',
            constraint=models.CheckConstraint(condition=models.Q(('upvotes__gte', 0), ('downvotes__gte', 0)), name='movies_tally_counts'),
        ),
        migrations.AddIndex(
            model_name='rating',
            index=models.Index(condition=models.Q(('deleted', None)), fields=['user', '-id'], name='movies_rating_of'),
        ),
        migrations.AddIndex(
            model_name='rating',
            index=models.Index(condition=models.Q(('deleted', None)), fields=['movie'], name='movies_rated'),
        ),
        migrations.AddConstraint(
            model_name='rating',
            constraint=models.UniqueConstraint(models.F('user'), models.F('movie'), condition=models.Q(('deleted', None)), name='movies_rating_once'),
        ),
        migrations.AddConstraint(
            model_name='rating',
            constraint=models.CheckConstraint(condition=models.Q(('rating_type__in', ['UPVOTE', 'DOWNVOTE'])), name='movies_rating_type'),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='6bd524e3e37479e5b870a2a35f277790dd78d676', operation='UPDATE', pgid='pgtrigger_touch_a4a66', table='movies_rating', when='BEFORE')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='alive_user_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."user_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."user_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."user_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'movies_rating_user_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='de6958f95ee2dadf0159935d10975a44f3c32153', operation='INSERT', pgid='pgtrigger_alive_user_insert_c64e3', table='movies_rating', when='BEFORE')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='alive_user_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."user_id" IS DISTINCT FROM OLD."user_id"))', func='IF NEW."user_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."user_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."user_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'movies_rating_user_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='afc4077f94c25fdf6fdfdffd95a14db43cfabd43', operation='UPDATE OF "user_id", "deleted"', pgid='pgtrigger_alive_user_update_2aed2', table='movies_rating', when='BEFORE')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='alive_movie_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."movie_id" IS NOT NULL THEN\n    PERFORM FROM "movies_movie" WHERE "id" = NEW."movie_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'movies.movie\', NEW."movie_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'movies_rating_movie_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='695e3537fbbdbd134523740a4866a6d7e8b2806d', operation='INSERT', pgid='pgtrigger_alive_movie_insert_5dcd3', table='movies_rating', when='BEFORE')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='alive_movie_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."movie_id" IS DISTINCT FROM OLD."movie_id"))', func='IF NEW."movie_id" IS NOT NULL THEN\n    PERFORM FROM "movies_movie" WHERE "id" = NEW."movie_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'movies.movie\', NEW."movie_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'movies_rating_movie_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='c76ad3453c807baf20c4982bde059befa75b294f', operation='UPDATE OF "movie_id", "deleted"', pgid='pgtrigger_alive_movie_update_9e838', table='movies_rating', when='BEFORE')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='count_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func="PERFORM FROM movies_tally WHERE movie_id IN (SELECT movie_id FROM new_rows) ORDER BY movie_id FOR NO KEY UPDATE;\nUPDATE movies_tally t SET upvotes = t.upvotes + v.up, downvotes = t.downvotes + v.down\nFROM (\n    SELECT movie_id, count(*) FILTER (WHERE rating_type = 'UPVOTE') AS up,\n           count(*) FILTER (WHERE rating_type = 'DOWNVOTE') AS down\n    FROM new_rows WHERE deleted IS NULL GROUP BY movie_id\n) AS v\nWHERE t.movie_id = v.movie_id;\nRETURN NULL;", hash='19f3a80a36c068838f48183d405444f139126140', level='STATEMENT', operation='INSERT', pgid='pgtrigger_count_insert_17a08', referencing='REFERENCING NEW TABLE AS new_rows ', table='movies_rating', when='AFTER')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='count_update', sql=pgtrigger.compiler.UpsertTriggerSql(func="PERFORM FROM movies_tally\nWHERE movie_id IN (SELECT movie_id FROM new_rows UNION SELECT movie_id FROM old_rows)\nORDER BY movie_id FOR NO KEY UPDATE;\nUPDATE movies_tally t SET upvotes = t.upvotes + v.up, downvotes = t.downvotes + v.down\nFROM (\n    SELECT movie_id, coalesce(sum(by) FILTER (WHERE rating_type = 'UPVOTE'), 0) AS up,\n           coalesce(sum(by) FILTER (WHERE rating_type = 'DOWNVOTE'), 0) AS down\n    FROM (\n        SELECT movie_id, rating_type, 1 AS by FROM new_rows WHERE deleted IS NULL\n        UNION ALL\n        SELECT movie_id, rating_type, -1 FROM old_rows WHERE deleted IS NULL\n    ) AS both_rows\n    GROUP BY movie_id\n) AS v\nWHERE t.movie_id = v.movie_id AND (v.up <> 0 OR v.down <> 0);\nRETURN NULL;", hash='c81fd7cf0bbd7e4ef7803065185618a8a59834cf', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_count_update_05e95', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='movies_rating', when='AFTER')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='count_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func="PERFORM FROM movies_tally WHERE movie_id IN (SELECT movie_id FROM old_rows) ORDER BY movie_id FOR NO KEY UPDATE;\nUPDATE movies_tally t SET upvotes = t.upvotes - v.up, downvotes = t.downvotes - v.down\nFROM (\n    SELECT movie_id, count(*) FILTER (WHERE rating_type = 'UPVOTE') AS up,\n           count(*) FILTER (WHERE rating_type = 'DOWNVOTE') AS down\n    FROM old_rows WHERE deleted IS NULL GROUP BY movie_id\n) AS v\nWHERE t.movie_id = v.movie_id;\nRETURN NULL;", hash='fc74117116a7ea301fbc7a86edd174ef528d98d9', level='STATEMENT', operation='DELETE', pgid='pgtrigger_count_delete_34836', referencing='REFERENCING OLD TABLE AS old_rows ', table='movies_rating', when='AFTER')),
        ),
        AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='count_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='UPDATE movies_tally SET upvotes = 0, downvotes = 0 WHERE upvotes + downvotes > 0;\nRETURN NULL;', hash='e7c32b44557342a3c1102a6c594c091bb5f590de', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_count_truncate_205af', table='movies_rating', when='AFTER')),
        ),
    ]
