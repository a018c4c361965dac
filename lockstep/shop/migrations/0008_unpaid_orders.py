"""What a buyer has in unpaid orders is limited where an order is placed (sql/unpaid.sql)."""

from pathlib import Path

from django.db import migrations, models

from lockstep.changes.sql_file import load

SQL = load(Path(__file__).parents[1] / "sql" / "unpaid.sql")


class Migration(migrations.Migration):
    dependencies = [("shop", "0008_living_owners")]

    operations = [
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("state__in", ("PENDING_CONFIRMATION", "CONFIRMED"))),
                fields=["buyer"],
                name="shop_order_unpaid",
            ),
        ),
        migrations.RunSQL(SQL["excess"], "DROP FUNCTION shop_unpaid_excess(uuid, bigint, bigint, bigint)"),
    ]
