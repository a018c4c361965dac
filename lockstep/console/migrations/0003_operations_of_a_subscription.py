from django.db import migrations, models

from lockstep.changes.schema_editor import AddIndexBesideWriters


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('lockstep_console', '0002_runs'),
        ('lockstep', '0003_provider_minutes'),
    ]

    operations = [
        AddIndexBesideWriters(
            model_name='operation',
            index=models.Index(fields=['subscription', '-at', '-id'], name='lockstep_console_operation_of'),
        ),
    ]
