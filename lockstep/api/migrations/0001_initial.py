import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Answer',
            fields=[
                ('digest', models.BinaryField(help_text='Of whoever asked, and their key.', primary_key=True, serialize=False)),
                ('fingerprint', models.BinaryField(help_text='Of method, address and body.')),
                ('status', models.IntegerField()),
                ('headers', models.JSONField()),
                ('body', models.BinaryField(help_text='Sealed: answers may hold tokens.')),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
            ],
        ),
    ]
