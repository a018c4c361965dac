import django.db.models.functions.datetime
from django.db import migrations, models

import lockstep.changes.models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('lockstep', '0002_operate_subscription'),
    ]

    operations = [
        migrations.CreateModel(
            name='Operation',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
                ('actor', models.TextField(help_text='"user:<key>"')),
                ('kind', models.TextField(help_text='Such as "pause".')),
                ('subscription', models.TextField(blank=True, db_default='', help_text='Empty where it concerns none.')),
                ('parameters', models.JSONField(default=dict)),
                ('outcome', models.TextField(help_text='What it did, as a sentence.')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
            },
        ),
        migrations.CreateModel(
            name='Sample',
            fields=[
                ('pk', models.CompositePrimaryKey('name', 'at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('name', models.TextField(help_text='The subscription or the family; empty for the log.')),
                ('at', models.DateTimeField(help_text='The minute.')),
                ('position', models.BigIntegerField(help_text="The log's last seq; null for a subscription.", null=True)),
                ('waiting', models.BigIntegerField(help_text='Changes that were not delivered; for the log, of all subscriptions.')),
                ('failing', models.BigIntegerField(help_text='Objects whose last attempt failed.')),
                ('dead', models.BigIntegerField(help_text='Open dead letters.')),
                ('lag', models.FloatField(help_text='Seconds since the oldest change that was not delivered.')),
            ],
            options={
                'required_db_features': ('has_lockstep_change_log',),
                'constraints': [models.CheckConstraint(condition=models.Q(('lag__range', (0.0, 1000000000000.0))), name='lockstep_console_lag')],
            },
        ),
    ]
