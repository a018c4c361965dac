import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='IdempotencyRecord',
            fields=[
                ('digest', models.BinaryField(help_text='Digest of the caller and the key.', primary_key=True, serialize=False)),
                ('fingerprint', models.BinaryField(help_text='Digest of method, path and body.')),
                ('status', models.IntegerField()),
                ('headers', models.JSONField()),
                ('body', models.BinaryField(help_text='Encrypted: responses may hold tokens.')),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
            ],
        ),
    ]
