"""An order has one index of its buyer, shop_order_of. By its name, because AlterField would check every order's buyer anew."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

INDEX = "shop_order_buyer_id_cffd21d9"


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0006_tags_in_products"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(f"DROP INDEX {INDEX}", f"CREATE INDEX {INDEX} ON shop_order (buyer_id)"),
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="order",
                    name="buyer",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="orders",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
    ]
