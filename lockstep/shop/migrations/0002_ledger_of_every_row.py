"""The ledger follows whatever becomes of a product's row, whoever writes it, and nothing else moves a stock."""

from pathlib import Path

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

from lockstep.changes.sql_file import load

UNPAID = load(Path(__file__).parents[1] / "sql" / "unpaid.sql")


class Migration(migrations.Migration):

    dependencies = [
        ('changes', '0002_protection'),
        ('shop', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL(UNPAID["excess"], migrations.RunSQL.noop),
        pgtrigger.migrations.RemoveTrigger(
            model_name='movement',
            name='move_stock',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='product',
            name='correct_ledger',
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='movement',
            trigger=pgtrigger.compiler.Trigger(name='move_stock', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (pg_trigger_depth() = 0 OR NOT has_table_privilege('shop_movement'::regclass, 'TRIGGER'))", declare='DECLARE moved bigint;', func="UPDATE shop_product p SET stock = p.stock + d.delta\nFROM (SELECT product_id, sum(delta)::bigint AS delta FROM new_rows GROUP BY product_id) AS d\nWHERE p.id = d.product_id;\nGET DIAGNOSTICS moved = ROW_COUNT;\nIF moved <> (SELECT count(*) FROM new_rows) THEN\n    IF moved <> (SELECT count(DISTINCT product_id) FROM new_rows) THEN\n        RAISE EXCEPTION 'A movement needs a product.' USING ERRCODE = 'check_violation';\n    END IF;\nEND IF;\nRETURN NULL;", hash='25eea4a7a822efd972dc366a64d5d801467b67de', level='STATEMENT', operation='INSERT', pgid='pgtrigger_move_stock_d81a7', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_movement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='movement',
            trigger=pgtrigger.compiler.Trigger(name='never_emptied', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'The ledger is never emptied.' USING ERRCODE = 'restrict_violation';", hash='107e9bbdf72fd13c0d3cb5fa0d04a87e5c6c2893', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_never_emptied_f848e', table='shop_movement', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='correct_ledger', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (pg_trigger_depth() = 0 OR NOT has_table_privilege('shop_movement'::regclass, 'TRIGGER'))", func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT coalesce(n.id, o.id), coalesce(n.stock, 0) - coalesce(o.stock, 0), 'CORRECTION',\n       nullif(current_setting('lockstep.actor', true), '')\nFROM new_rows n FULL JOIN old_rows o ON o.id = n.id WHERE coalesce(n.stock, 0) <> coalesce(o.stock, 0);\nRETURN NULL;", hash='fb1714285e6ba5bc3e5ea5e461925beea0bfe03c', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_correct_ledger_c8671', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='close_ledger', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT o.id, -o.stock, 'CORRECTION', nullif(current_setting('lockstep.actor', true), '')\nFROM old_rows o WHERE o.stock <> 0;\nRETURN NULL;", hash='dc3aad1ea9912c01342160e3d622808167edee06', level='STATEMENT', operation='DELETE', pgid='pgtrigger_close_ledger_d8e7d', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_product', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='close_ledgers', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT o.id, -o.stock, 'CORRECTION', nullif(current_setting('lockstep.actor', true), '')\nFROM shop_product o WHERE o.stock <> 0;\nRETURN NULL;", hash='25be0abc63cc7c1da8e959786668e055cbb91c30', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_close_ledgers_0e1e4', table='shop_product', when='BEFORE')),
        ),
    ]
