"""A vote goes with its movie and with its user's account; NaN and Infinity are no ratings of a provider."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


MEND_RATINGS = "UPDATE movies_movie SET rating = NULL WHERE rating IN ('NaN', 'Infinity', '-Infinity')"
DELETE_LEFT_OVER = """
    UPDATE movies_rating r SET deleted = coalesce(m.deleted, u.deleted) FROM movies_movie m, accounts_user u
    WHERE m.id = r.movie_id AND u.id = r.user_id AND r.deleted IS NULL
      AND (m.deleted IS NOT NULL OR u.deleted IS NOT NULL)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_doors'),
        ("movies", "0003_living_owners"),
    ]

    operations = [
        migrations.RunSQL(MEND_RATINGS, migrations.RunSQL.noop),
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
        pgtrigger.migrations.AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM movies_movie WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='4a6286ec0845f6fab246d3fde69f075838696230', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_6ea6a', table='movies_movie', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='delete_movies_rating', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE movies_rating SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM movies_rating WHERE movie_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='809c41e4cdc43d409c7e39999811f14d5c92e7bd', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_movies_rating_d421f', table='movies_movie', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='alive_movie_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.movie_id IS NOT NULL THEN\n    PERFORM FROM movies_movie WHERE id = NEW.movie_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'movies.movie % does not exist or is deleted.', NEW.movie_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'movies_rating_movie_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='2d50f64f23dd56d42595a4e5f624f7d52f2287f9', operation='INSERT', pgid='pgtrigger_alive_movie_insert_5dcd3', table='movies_rating', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rating',
            trigger=pgtrigger.compiler.Trigger(name='alive_movie_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.movie_id IS DISTINCT FROM OLD.movie_id))', func="\nIF NEW.movie_id IS NOT NULL THEN\n    PERFORM FROM movies_movie WHERE id = NEW.movie_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'movies.movie % does not exist or is deleted.', NEW.movie_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'movies_rating_movie_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='2e7975761f4373aae924f4ec76dcf0dc00647f2b', operation='UPDATE OF "movie_id", "deleted"', pgid='pgtrigger_alive_movie_update_9e838', table='movies_rating', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='movie',
            constraint=models.CheckConstraint(condition=models.Q(('rating__range', (-1.7976931348623157e+308, 1.7976931348623157e+308))), name='movies_movie_rating'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='voter',
            trigger=pgtrigger.compiler.Trigger(name='delete_movies_rating', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE movies_rating SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM movies_rating WHERE user_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='e08b5a487e74922042781f64cb7f0b2cc6732953', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_movies_rating_8829d', table='accounts_user', when='AFTER')),
        ),
        migrations.RunSQL(DELETE_LEFT_OVER, migrations.RunSQL.noop),
    ]
