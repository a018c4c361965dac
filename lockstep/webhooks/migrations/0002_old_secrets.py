import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """An endpoint may have several secrets that were replaced, each with its own end."""

    dependencies = [
        ('webhooks', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='endpoint',
            name='old_secrets',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BinaryField(), db_default=[], editable=False, help_text='Sign beside the new one, each until its own end.', size=None),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='old_secrets_until',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.DateTimeField(), db_default=[], editable=False, size=None),
        ),
        migrations.RunSQL(
            """
            UPDATE webhooks_endpoint
            SET old_secrets = ARRAY[old_secret], old_secrets_until = ARRAY[old_secret_until]
            WHERE old_secret_until > now()
            """,
            """
            UPDATE webhooks_endpoint
            SET old_secret = old_secrets[cardinality(old_secrets)],
                old_secret_until = old_secrets_until[cardinality(old_secrets)]
            WHERE cardinality(old_secrets) > 0
            """,
        ),
        migrations.RemoveField(model_name='endpoint', name='old_secret'),
        migrations.RemoveField(model_name='endpoint', name='old_secret_until'),
    ]
