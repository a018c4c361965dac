from django.db import migrations, models

from lockstep.changes.schema_editor import AddIndexBesideWriters


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('lockstep_console', '0004_operation_by_owner'),
    ]

    operations = [
        AddIndexBesideWriters(
            model_name='operation',
            index=models.Index(fields=['by_owner', '-at', '-id'], name='lockstep_console_operation_by'),
        ),
    ]
