from django.db import migrations, models

from lockstep.changes.schema_editor import AddIndexBesideWriters


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('lockstep', '0003_provider_minutes'),
    ]

    operations = [
        AddIndexBesideWriters(
            model_name='attempt',
            index=models.Index(
                condition=models.Q(('failure__isnull', False)), fields=['subscription', 'id'], name='lockstep_attempt_failed'
            ),
        ),
    ]
