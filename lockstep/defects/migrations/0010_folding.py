import django.contrib.postgres.indexes
import lockstep.changes.folding
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations

# Nothing that is told of changes by it: the triggers rest.
FILL = """
    ALTER TABLE defects_defect DISABLE TRIGGER USER;
    UPDATE defects_defect SET folded = lockstep_fold(comment);
    ALTER TABLE defects_defect ENABLE TRIGGER USER;
"""


class Migration(migrations.Migration):
    """What is searched is stored as lockstep_fold makes it, and indexed so."""

    dependencies = [
        ('changes', '0010_folding'),
        ("defects", "0002_living_owners"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='defect',
            name='defects_saying',
        ),
        migrations.AddField(
            model_name='defect',
            name='folded',
            field=lockstep.changes.folding.FoldedField(db_default='', editable=False, help_text='The comment, as it is searched.'),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='defect',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('folded', 'gin_trgm_ops'), name='defects_searched'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='defect',
            trigger=pgtrigger.compiler.Trigger(name='write_folded', sql=pgtrigger.compiler.UpsertTriggerSql(func="NEW.folded := lockstep_fold(coalesce(NEW.comment, '')); RETURN NEW;", hash='9fdbb01915aa17df3e3eea09f0534362061147df', operation='INSERT OR UPDATE OF "comment", "folded"', pgid='pgtrigger_write_folded_6329c', table='defects_defect', when='BEFORE')),
        ),
    ]
