import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('delivery', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='subscription',
            name='silent_since',
            field=models.DateTimeField(help_text='Since when its remote does not answer.', null=True),
        ),
        migrations.AddField(
            model_name='subscription',
            name='silent_cause',
            field=models.TextField(blank=True, db_default='', help_text='What was seen instead of an answer.'),
        ),
        migrations.AddField(
            model_name='subscription',
            name='replaced',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], help_text='Declarations that a later version of the code replaced.', size=None),
        ),
        migrations.AlterField(
            model_name='lane',
            name='attempts',
            field=models.IntegerField(db_default=0, help_text='Failed attempts since the last success.'),
        ),
    ]
