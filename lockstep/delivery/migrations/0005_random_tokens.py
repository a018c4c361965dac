from django.db import migrations

from lockstep.delivery.database import SQL

BACK = "DROP FUNCTION delivery_draw_token; CREATE SEQUENCE delivery_token AS bigint CACHE 1"


class Migration(migrations.Migration):
    dependencies = [("delivery", "0004_lives")]

    operations = [migrations.RunSQL(SQL["schema"]["draw_token"], BACK)]
