from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('lockstep_console', '0003_operations_of_a_subscription'),
    ]

    operations = [
        migrations.AddField(
            model_name='operation',
            name='by_owner',
            field=models.BooleanField(db_default=False, help_text='Done on the pages for owners of webhook endpoints.'),
        ),
    ]
