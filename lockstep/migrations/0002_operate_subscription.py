from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('lockstep', '0001_initial'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='subscription',
            options={
                'permissions': [('operate_subscription', 'Can pause, resume, replay, discard and rewind subscriptions')],
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
    ]
