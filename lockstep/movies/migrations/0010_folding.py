import django.contrib.postgres.indexes
import lockstep.changes.folding
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

# Nothing that is told of changes by it: the triggers rest.
FILL = """
    ALTER TABLE movies_movie DISABLE TRIGGER USER;
    UPDATE movies_movie SET folded = lockstep_fold(coalesce(title, '') || ' ' || coalesce(description, ''));
    ALTER TABLE movies_movie ENABLE TRIGGER USER;
"""


class Migration(migrations.Migration):
    """What is searched is stored as lockstep_fold makes it, and indexed so."""

    dependencies = [
        ('changes', '0010_folding'),
        ("movies", "0003_votes_of_the_living"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='movie',
            name='movies_titled',
        ),
        migrations.RemoveIndex(
            model_name='movie',
            name='movies_described',
        ),
        migrations.AddField(
            model_name='movie',
            name='folded',
            field=lockstep.changes.folding.FoldedField(db_default='', editable=False, help_text='Title and description, as they are searched.'),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='movie',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('folded', 'gin_trgm_ops'), name='movies_searched'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='movie',
            trigger=pgtrigger.compiler.Trigger(name='write_folded', sql=pgtrigger.compiler.UpsertTriggerSql(func="NEW.folded := lockstep_fold(coalesce(NEW.title, '') || ' ' || coalesce(NEW.description, '')); RETURN NEW;", hash='51fe03ccde62b7735bf5cdf0587226b8079fb42f', operation='INSERT OR UPDATE OF "title", "description", "folded"', pgid='pgtrigger_write_folded_b02c1', table='movies_movie', when='BEFORE')),
        ),
    ]
