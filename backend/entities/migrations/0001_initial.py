"""The functions by which texts are compared and sorted, and the extension that searches them."""

from pathlib import Path

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations

from lockstep.sql import statements

FOLDING = statements(Path(__file__).parent, "folding")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        TrigramExtension(),
        migrations.RunSQL("\n".join(FOLDING.values()), "DROP FUNCTION lockstep_sort_key, lockstep_fold"),
    ]
