from django.db import migrations


def write(apps, schema_editor):
    apps.get_model("blog.Article").objects.using(schema_editor.connection.alias).create(title="by a migration")


class Migration(migrations.Migration):
    dependencies = [("blog", "0001_initial")]
    operations = [migrations.RunPython(write, migrations.RunPython.noop)]
