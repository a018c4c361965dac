"""Numbers stay within what routes and JavaScript carry; a database that had imported larger ones gives them new ones."""

from django.db import migrations, models

# Rows that were imported under larger numbers, and our own that were drawn after them, get numbers that can be reached.
# The provider's name as the origin keeps that from being pushed there: nothing of it is mirrored.
RENUMBER = """
    SELECT set_config('lockstep.origin', 'jsonplaceholder', true);
    SELECT setval('{sequence}', greatest((SELECT max(number) FROM {table} WHERE number <= 4503599627370496), 1))
    FROM {sequence} WHERE last_value > 9007199254740991;
    UPDATE {table} SET number = nextval('{sequence}') WHERE number > 9007199254740991;
    ALTER SEQUENCE {sequence} MAXVALUE 9007199254740991;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('posts', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL(
            RENUMBER.format(sequence='posts_post_number', table='posts_post'),
            'ALTER SEQUENCE posts_post_number NO MAXVALUE',
        ),
        migrations.RunSQL(
            RENUMBER.format(sequence='posts_comment_number', table='posts_comment'),
            'ALTER SEQUENCE posts_comment_number NO MAXVALUE',
        ),
        migrations.AddConstraint(
            model_name='post',
            constraint=models.CheckConstraint(condition=models.Q(('number__range', (0, 9007199254740991))), name='posts_post_number_reachable'),
        ),
        migrations.AddConstraint(
            model_name='comment',
            constraint=models.CheckConstraint(condition=models.Q(('number__range', (0, 9007199254740991))), name='posts_comment_number_reachable'),
        ),
    ]
