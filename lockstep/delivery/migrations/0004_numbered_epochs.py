"""Lives of the database are numbered, name their timeline, and no longer divide the numbers of the log among them."""

from django.db import migrations, models

# By the clock there may be several first ones, made by workers that began together.
NUMBER = """
    UPDATE delivery_epoch SET number = numbered.number,
        timeline = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
    FROM (SELECT id, row_number() OVER (ORDER BY began, id) AS number FROM delivery_epoch) AS numbered
    WHERE numbered.id = delivery_epoch.id
"""


class Migration(migrations.Migration):
    dependencies = [('delivery', '0003_places')]

    operations = [
        migrations.AddField('epoch', 'number', models.IntegerField(null=True)),
        migrations.AddField('epoch', 'timeline', models.IntegerField(help_text="The cluster's: another one begins with a promotion, or a recovery.", default=1), preserve_default=False),
        migrations.RunSQL(NUMBER, migrations.RunSQL.noop),
        migrations.AlterField('epoch', 'number', models.IntegerField(help_text='1 for the first. A clock may step back; this does not.', unique=True)),
        migrations.AlterField('epoch', 'system_identifier', models.TextField(help_text='The cluster.')),
        migrations.RemoveField('epoch', 'first_seq'),
    ]
