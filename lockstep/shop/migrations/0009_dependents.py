"""Links go with their product or tag, products with their owner's account; NaN is no price, total or amount."""

import pgtrigger.compiler
import pgtrigger.migrations
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


# A price that is not a number cannot be paid. It goes off sale until its owner sets one.
MEND_PRICES = """
    UPDATE shop_product SET price = 0, state = 'OFF_SALE' WHERE price = 'NaN' AND state = 'ON_SALE';
    UPDATE shop_product SET price = 0 WHERE price = 'NaN';
    UPDATE shop_order SET total = 0 WHERE total = 'NaN';
    UPDATE shop_payment SET amount = 0 WHERE amount = 'NaN'
"""
# What was left over when something else than the API deleted a product, a tag or an account.
DELETE_LEFT_OVER = """
    UPDATE shop_product p SET deleted = u.deleted FROM accounts_user u
    WHERE u.id = p.owner_id AND u.deleted IS NOT NULL AND p.deleted IS NULL;
    UPDATE shop_producttag l SET deleted = coalesce(p.deleted, t.deleted) FROM shop_product p, shop_tag t
    WHERE p.id = l.product_id AND t.id = l.tag_id AND l.deleted IS NULL
      AND (p.deleted IS NOT NULL OR t.deleted IS NOT NULL)
"""
# A subscriber deleted the products of deleted accounts, a moment later; a trigger does it now.
REMOVE_SUBSCRIPTION = """
    DELETE FROM delivery_delivery d USING delivery_lane lane
    WHERE lane.id = d.lane_id AND lane.subscription_id = 'shop-leavers';
    DELETE FROM delivery_lane WHERE subscription_id = 'shop-leavers';
    DELETE FROM delivery_attempt WHERE subscription_id = 'shop-leavers';
    DELETE FROM delivery_deadletter WHERE subscription_id = 'shop-leavers';
    DELETE FROM delivery_subscription WHERE name = 'shop-leavers'
"""
# Endpoints that follow creations or deletions alone are told of a product that comes into sight, or goes out of it
# (changes/readers.py, patterns_to_follow).
FOLLOW_UPDATES = """
    UPDATE delivery_subscription SET follows = follows || ARRAY['shop.product.updated']
    WHERE name LIKE 'webhook:%' AND follows && ARRAY['shop.product.created', 'shop.product.deleted']
      AND NOT follows && ARRAY['shop.product.updated']
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_doors'),
        ('delivery', '0005_random_tokens'),
        ('shop', '0008_unpaid_orders'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(MEND_PRICES, migrations.RunSQL.noop),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='Seller',
            fields=[
            ],
            options={
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('accounts.user',),
        ),
        migrations.RemoveConstraint(
            model_name='product',
            name='shop_product_price',
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM shop_product WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='2f4575bf22307522d00b10c53c796c5f5ea7f266', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_3ec8e', table='shop_product', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='delete_shop_producttag', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE shop_producttag SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM shop_producttag WHERE product_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='31a15174b7ca75d3a037b43085b419c015842c87', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_producttag_294cf', table='shop_product', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_tag_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.tag_id IS NOT NULL THEN\n    PERFORM FROM shop_tag WHERE id = NEW.tag_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.tag % does not exist or is deleted.', NEW.tag_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_tag_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='019bb4693263daf129c50fda724b8d2d0effe0a1', operation='INSERT', pgid='pgtrigger_alive_tag_insert_60421', table='shop_producttag', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_tag_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.tag_id IS DISTINCT FROM OLD.tag_id))', func="\nIF NEW.tag_id IS NOT NULL THEN\n    PERFORM FROM shop_tag WHERE id = NEW.tag_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.tag % does not exist or is deleted.', NEW.tag_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_tag_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='4ec8e45a303f56cab44795634566548a27f57851', operation='UPDATE OF "tag_id", "deleted"', pgid='pgtrigger_alive_tag_update_e7f42', table='shop_producttag', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_product_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.product_id IS NOT NULL THEN\n    PERFORM FROM shop_product WHERE id = NEW.product_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.product % does not exist or is deleted.', NEW.product_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_product_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='ff02f371d1d693b6cb1955ea912472fe7635393a', operation='INSERT', pgid='pgtrigger_alive_product_insert_70217', table='shop_producttag', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_product_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.product_id IS DISTINCT FROM OLD.product_id))', func="\nIF NEW.product_id IS NOT NULL THEN\n    PERFORM FROM shop_product WHERE id = NEW.product_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.product % does not exist or is deleted.', NEW.product_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_product_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='b283e37ae081f100c815851279af4d1ab3d5e55e', operation='UPDATE OF "product_id", "deleted"', pgid='pgtrigger_alive_product_update_8954c', table='shop_producttag', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM shop_tag WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='2f421507030dfe61754b25d60aaea980da68496d', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_507c2', table='shop_tag', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='delete_shop_producttag', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE shop_producttag SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='ee3a9e2a5a73707ed4501fa74782a50ec58eba86', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_producttag_7b09c', table='shop_tag', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('total__range', (0, Decimal('9999999999999999999999.99')))), name='shop_order_total'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(('amount__range', (0, Decimal('9999999999999999999999.99')))), name='shop_payment_amount'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.CheckConstraint(condition=models.Q(('price__range', (0, Decimal('9999999999.99')))), name='shop_product_price'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='seller',
            trigger=pgtrigger.compiler.Trigger(name='delete_shop_product', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE shop_product SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM shop_product WHERE owner_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='de5b262ee8ac86e38d87bd8dea67e1b792442215', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_product_adce5', table='accounts_user', when='AFTER')),
        ),
        migrations.RunSQL(DELETE_LEFT_OVER, migrations.RunSQL.noop),
        migrations.RunSQL(REMOVE_SUBSCRIPTION, migrations.RunSQL.noop),
        migrations.RunSQL(FOLLOW_UPDATES, migrations.RunSQL.noop),
    ]
