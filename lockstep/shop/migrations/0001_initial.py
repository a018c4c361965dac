from decimal import Decimal
from pathlib import Path

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
import uuid_utils.compat
from django.conf import settings
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models

import lockstep.changes.entities
import lockstep.changes.folding
from lockstep.changes.sql_file import load

SEARCH = load(Path(__file__).parents[1] / "sql" / "search.sql")
TAGS = load(Path(__file__).parents[1] / "sql" / "tags.sql")
UNPAID = load(Path(__file__).parents[1] / "sql" / "unpaid.sql")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('changes', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        TrigramExtension(),
        migrations.RunSQL("CREATE SEQUENCE shop_product_number", "DROP SEQUENCE shop_product_number"),
        migrations.RunSQL("CREATE SEQUENCE shop_order_number START 1001", "DROP SEQUENCE shop_order_number"),
        migrations.CreateModel(
            name='Product',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=lockstep.changes.entities.NextNumber('shop_product_number'), editable=False, unique=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='products', to=settings.AUTH_USER_MODEL)),
                ('name', models.TextField(validators=[django.core.validators.MaxLengthValidator(200)])),
                ('folded_name', lockstep.changes.folding.FoldedField(db_default='', editable=False, help_text='The name, as it is searched.')),
                ('description', models.TextField(blank=True, db_default='', validators=[django.core.validators.MaxLengthValidator(20000)])),
                ('price', models.DecimalField(decimal_places=2, max_digits=12, validators=[django.core.validators.MinValueValidator(0)])),
                ('stock', models.BigIntegerField(db_default=0, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000000000)])),
                ('state', models.TextField(choices=[('ON_SALE', 'on sale'), ('OFF_SALE', 'off sale')], db_default='ON_SALE')),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], editable=False, size=None)),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('deleted', None), ('state', 'ON_SALE')), fields=['-id'], name='shop_product_newest'),
                    models.Index(condition=models.Q(('deleted', None)), fields=['owner', '-id'], name='shop_product_of'),
                    models.Index(condition=models.Q(('deleted', None)), fields=['price', 'id'], name='shop_product_price_first'),
                ],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('stock__gte', 0)), name='shop_product_stock', violation_error_message='The stock cannot be below zero.'),
                    models.CheckConstraint(condition=models.Q(('stock__lte', 9007199254740991)), name='shop_product_stock_most', violation_error_message='The stock cannot be above 9007199254740991.'),
                    models.CheckConstraint(condition=models.Q(('price__range', (0, Decimal('9999999999.99')))), name='shop_product_price', violation_error_message='The price must be from 0 to 9999999999.99.'),
                    models.CheckConstraint(condition=models.Q(('state__in', ['ON_SALE', 'OFF_SALE'])), name='shop_product_state'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'shop.product\', n."id"::text, \'created\', jsonb_build_object(\'number\', n."number", \'owner_id\', n."owner_id", \'name\', n."name", \'description\', n."description", \'price\', n."price", \'stock\', n."stock", \'state\', n."state", \'tags\', n."tags")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='f607361d89d8cc3bab738031c2d604808918a32d', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_81dfd', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'shop.product\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'number\', o."number", \'owner_id\', o."owner_id", \'name\', o."name", \'description\', o."description", \'price\', o."price", \'stock\', o."stock", \'state\', o."state", \'tags\', o."tags") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'number\', n."number", \'owner_id\', n."owner_id", \'name\', n."name", \'description\', n."description", \'price\', n."price", \'stock\', n."stock", \'state\', n."state", \'tags\', n."tags") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='9037ec638f40da4f8cba1ff0f0ca6924e4c93a85', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_d26d0', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.product\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'owner_id\', o."owner_id", \'name\', o."name", \'description\', o."description", \'price\', o."price", \'stock\', o."stock", \'state\', o."state", \'tags\', o."tags")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='74c1dfa564b6c224cbf8949525ec68297156b4a2', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_55393', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_product', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "shop_product" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.product\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'owner_id\', o."owner_id", \'name\', o."name", \'description\', o."description", \'price\', o."price", \'stock\', o."stock", \'state\', o."state", \'tags\', o."tags")\nFROM "shop_product" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='08ded7e27822ddee7507aece09d55111c5c0223b', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_23c61', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='f988455f4216c131c0450b294ab3b3807d35b5e4', operation='UPDATE', pgid='pgtrigger_touch_a5117', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_owner_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.owner_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.owner_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.owner_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_product_owner_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='7978ab3835d10ae474dea2e09e220dc5c59a9ae3', operation='INSERT', pgid='pgtrigger_alive_owner_insert_616e2', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_owner_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.owner_id IS DISTINCT FROM OLD.owner_id))', func="\nIF NEW.owner_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.owner_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.owner_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_product_owner_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='48625d598dfb400d1725a721258fac5485972d46', operation='UPDATE OF "owner_id", "deleted"', pgid='pgtrigger_alive_owner_update_622f8', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM shop_product WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='2f4575bf22307522d00b10c53c796c5f5ea7f266', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_3ec8e', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='delete_shop_producttag', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE shop_producttag SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM shop_producttag WHERE product_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='31a15174b7ca75d3a037b43085b419c015842c87', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_producttag_294cf', table='shop_product', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='write_folded_name', sql=pgtrigger.compiler.UpsertTriggerSql(func="NEW.folded_name := lockstep_fold(coalesce(NEW.name, '')); RETURN NEW;", hash='92dc2abfe911487b5b55c9000e105e8e83e9b0e7', operation='INSERT OR UPDATE OF "name", "folded_name"', pgid='pgtrigger_write_folded_name_bfcef', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='begin', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (NEW.state NOT IN ('ON_SALE'))", func="RAISE EXCEPTION 'No transition of a product leads from % to %.', 'nothing', NEW.state USING ERRCODE = 'check_violation';", hash='d172fa9038594a2dd21f869b5e4557136ae46526', operation='INSERT', pgid='pgtrigger_begin_c2517', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='go_on', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN (('ON_SALE', 'OFF_SALE'), ('OFF_SALE', 'ON_SALE')))", func="RAISE EXCEPTION 'No transition of a product leads from % to %.', OLD.state, NEW.state USING ERRCODE = 'check_violation';", hash='c370eb3a20bf4284b1cb230f41302924a11a3f19', operation='UPDATE', pgid='pgtrigger_go_on_4a98c', table='shop_product', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='open_ledger', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT n.id, n.stock, 'OPENING', nullif(current_setting('lockstep.actor', true), '')\nFROM new_rows n WHERE n.stock <> 0;\nRETURN NULL;", hash='ec506a00bcfbd7398da33add274b81937a9ed956', level='STATEMENT', operation='INSERT', pgid='pgtrigger_open_ledger_fab3d', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='correct_ledger', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (pg_trigger_depth() = 0)', func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT n.id, n.stock - o.stock, 'CORRECTION', nullif(current_setting('lockstep.actor', true), '')\nFROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.stock <> o.stock;\nRETURN NULL;", hash='f7210f98b6f1c1f9436266355b5cd1a23b4c01b7', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_correct_ledger_c8671', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='index_new', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_index(ARRAY(SELECT id FROM new_rows));\nRETURN NULL;', hash='a6de2e59847af10ac252c7f6d85a5839edcbc001', level='STATEMENT', operation='INSERT', pgid='pgtrigger_index_new_ed32b', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='index_words', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."deleted" IS DISTINCT FROM (NEW."deleted") OR OLD."description" IS DISTINCT FROM (NEW."description") OR OLD."name" IS DISTINCT FROM (NEW."name"))', func='PERFORM shop_index(ARRAY[NEW.id]); RETURN NULL;', hash='7e5aeeefdc8eae7848b41ebe567a53bc764514ca', operation='UPDATE OF "name", "description", "deleted"', pgid='pgtrigger_index_words_610d7', table='shop_product', when='AFTER')),
                ],
            },
        ),
        migrations.CreateModel(
            name='Seller',
            fields=[
            ],
            options={
                'proxy': True,
                'default_permissions': (),
            },
            bases=('accounts.user',),
        ),
        migrations.CreateModel(
            name='Tag',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('name', models.TextField(validators=[django.core.validators.MaxLengthValidator(50)])),
                ('description', models.TextField(blank=True, db_default='', validators=[django.core.validators.MaxLengthValidator(20000)])),
            ],
            options={
                'indexes': [
                    models.Index(django.contrib.postgres.indexes.OpClass(lockstep.changes.folding.Fold('name'), 'text_pattern_ops'), name='shop_tag_prefix'),
                ],
                'constraints': [
                    models.UniqueConstraint(lockstep.changes.folding.Fold('name'), condition=models.Q(('deleted', None)), name='shop_tag_name', violation_error_message='A tag with this name exists already.'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'shop.tag\', n."id"::text, \'created\', jsonb_build_object(\'name\', n."name", \'description\', n."description")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='ab8632a6f0c361181bdd6c84a5ad9e8a956fdc3d', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_7050f', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_tag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'shop.tag\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'name\', o."name", \'description\', o."description") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'name\', n."name", \'description\', n."description") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='170b4c1093c00d8ee6256a22e84fb1f952e0fbee', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_f56b4', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_tag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.tag\', o."id"::text, \'deleted\', jsonb_build_object(\'name\', o."name", \'description\', o."description")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='2a9e30363471dfe525bd052db55d58355220767a', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_42900', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_tag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "shop_tag" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.tag\', o."id"::text, \'deleted\', jsonb_build_object(\'name\', o."name", \'description\', o."description")\nFROM "shop_tag" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='175eede55f5bffe627d90b21706f7ad665bce8d2', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_616e4', table='shop_tag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='bf4b5c8062b239806811ad9a7e80769b59253dc0', operation='UPDATE', pgid='pgtrigger_touch_16f22', table='shop_tag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM shop_tag WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='2f421507030dfe61754b25d60aaea980da68496d', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_507c2', table='shop_tag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='delete_shop_producttag', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM shop_product WHERE id IN (SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL)\nORDER BY id FOR NO KEY UPDATE;\nUPDATE shop_producttag SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='6a537cf0686c8bab3de331b1c2d37b90132d401b', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_producttag_7b09c', table='shop_tag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='tagged', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."deleted" IS DISTINCT FROM (NEW."deleted") OR OLD."name" IS DISTINCT FROM (NEW."name"))', func='PERFORM shop_show_tags(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));\nPERFORM shop_index(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));\nRETURN NULL;', hash='86f3be709ef5d6e2200cb04a37333427b2dadece', operation='UPDATE OF "name", "deleted"', pgid='pgtrigger_tagged_bd399', table='shop_tag', when='AFTER')),
                ],
            },
        ),
        migrations.CreateModel(
            name='ProductTag',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='links', to='shop.product')),
                ('tag', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='links', to='shop.tag')),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('deleted', None)), fields=['tag', '-product'], name='shop_tagged'),
                ],
                'constraints': [
                    models.UniqueConstraint(models.F('product'), models.F('tag'), condition=models.Q(('deleted', None)), name='shop_product_tag_once'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'shop.producttag\', n."id"::text, \'created\', jsonb_build_object(\'product_id\', n."product_id", \'tag_id\', n."tag_id")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='3acb090d1105235491f0ae2c853949a90dcb5b4c', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_95fbc', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_producttag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'shop.producttag\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'product_id\', o."product_id", \'tag_id\', o."tag_id") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'product_id\', n."product_id", \'tag_id\', n."tag_id") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='79e50843dd995e0cc9ff967d61bba515263c670c', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_348eb', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_producttag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.producttag\', o."id"::text, \'deleted\', jsonb_build_object(\'product_id\', o."product_id", \'tag_id\', o."tag_id")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='7fda6309f4f165bedbb62e229c9f74f989c36c77', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_cd037', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_producttag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "shop_producttag" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.producttag\', o."id"::text, \'deleted\', jsonb_build_object(\'product_id\', o."product_id", \'tag_id\', o."tag_id")\nFROM "shop_producttag" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='ebdbf94bc4d83617c580ed7934a2a9af3c767d6b', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_ed01c', table='shop_producttag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='f71a8ab87a6c4b409021a7bbc038bceeb7ca33ca', operation='UPDATE', pgid='pgtrigger_touch_370b4', table='shop_producttag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_tag_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.tag_id IS NOT NULL THEN\n    PERFORM FROM shop_tag WHERE id = NEW.tag_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.tag % does not exist or is deleted.', NEW.tag_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_tag_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='019bb4693263daf129c50fda724b8d2d0effe0a1', operation='INSERT', pgid='pgtrigger_alive_tag_insert_60421', table='shop_producttag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_tag_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.tag_id IS DISTINCT FROM OLD.tag_id))', func="\nIF NEW.tag_id IS NOT NULL THEN\n    PERFORM FROM shop_tag WHERE id = NEW.tag_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.tag % does not exist or is deleted.', NEW.tag_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_tag_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='4ec8e45a303f56cab44795634566548a27f57851', operation='UPDATE OF "tag_id", "deleted"', pgid='pgtrigger_alive_tag_update_e7f42', table='shop_producttag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_product_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.product_id IS NOT NULL THEN\n    PERFORM FROM shop_product WHERE id = NEW.product_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.product % does not exist or is deleted.', NEW.product_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_product_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='ff02f371d1d693b6cb1955ea912472fe7635393a', operation='INSERT', pgid='pgtrigger_alive_product_insert_70217', table='shop_producttag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_product_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.product_id IS DISTINCT FROM OLD.product_id))', func="\nIF NEW.product_id IS NOT NULL THEN\n    PERFORM FROM shop_product WHERE id = NEW.product_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'shop.product % does not exist or is deleted.', NEW.product_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_producttag_product_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='b283e37ae081f100c815851279af4d1ab3d5e55e', operation='UPDATE OF "product_id", "deleted"', pgid='pgtrigger_alive_product_update_8954c', table='shop_producttag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='linked', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_show_tags(ARRAY(SELECT DISTINCT product_id FROM new_rows));\nPERFORM shop_index(ARRAY(SELECT DISTINCT product_id FROM new_rows));\nRETURN NULL;', hash='572f141102b3925c3912f2616f11618cfe9b1901', level='STATEMENT', operation='INSERT', pgid='pgtrigger_linked_c68f3', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_producttag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='relinked', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_show_tags(ARRAY(SELECT product_id FROM old_rows UNION SELECT product_id FROM new_rows));\nPERFORM shop_index(ARRAY(SELECT product_id FROM old_rows UNION SELECT product_id FROM new_rows));\nRETURN NULL;', hash='64b5b7b8ac42db630061e33cd0403fb2e3e7f575', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_relinked_20d8e', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_producttag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='unlinked', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_show_tags(ARRAY(SELECT DISTINCT product_id FROM old_rows));\nPERFORM shop_index(ARRAY(SELECT DISTINCT product_id FROM old_rows));\nRETURN NULL;', hash='8b7ccb9154dd6db6fc6f836fec98080ce6eef509', level='STATEMENT', operation='DELETE', pgid='pgtrigger_unlinked_dbc1f', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_producttag', when='AFTER')),
                ],
            },
        ),
        migrations.CreateModel(
            name='SearchEntry',
            fields=[
                ('product', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='shop.product')),
                ('document', django.contrib.postgres.search.SearchVectorField()),
            ],
            options={
                'indexes': [
                    django.contrib.postgres.indexes.GinIndex(fastupdate=False, fields=['document'], name='shop_search_document'),
                ],
            },
        ),
        migrations.CreateModel(
            name='SearchWord',
            fields=[
                ('word', models.TextField(primary_key=True, serialize=False)),
            ],
            options={
                'indexes': [
                    django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('word', 'gin_trgm_ops'), name='shop_search_word_like'),
                ],
            },
        ),
        migrations.CreateModel(
            name='UnlearntProduct',
            fields=[
                ('product', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='shop.product')),
            ],
        ),
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=lockstep.changes.entities.NextNumber('shop_order_number'), editable=False, unique=True)),
                ('buyer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to=settings.AUTH_USER_MODEL)),
                ('state', models.TextField(choices=[('PENDING_CONFIRMATION', 'pending confirmation'), ('ACCEPTED', 'accepted'), ('CONFIRMED', 'confirmed'), ('NOT_CONFIRMED', 'not confirmed'), ('CANCELLED', 'cancelled'), ('REJECTED', 'rejected')], db_default='PENDING_CONFIRMATION')),
                ('lines', models.JSONField(help_text='[{"product", "number", "name", "price", "quantity"}], by product')),
                ('total', models.DecimalField(decimal_places=2, max_digits=24)),
                ('confirm_until', models.DateTimeField(help_text='Until when it can be confirmed.', null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it is in its state, where that needs a word.')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['buyer', '-id'], name='shop_order_of'),
                    models.Index(condition=models.Q(('state', 'PENDING_CONFIRMATION')), fields=['confirm_until'], name='shop_order_due'),
                    models.Index(condition=models.Q(('state__in', ('PENDING_CONFIRMATION', 'CONFIRMED'))), fields=['buyer'], name='shop_order_unpaid'),
                ],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('state__in', ['PENDING_CONFIRMATION', 'ACCEPTED', 'CONFIRMED', 'NOT_CONFIRMED', 'CANCELLED', 'REJECTED'])), name='shop_order_state'),
                    models.CheckConstraint(condition=models.Q(('total__range', (0, Decimal('9999999999999999999999.99')))), name='shop_order_total'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'shop.order\', n."id"::text, \'created\', jsonb_build_object(\'number\', n."number", \'buyer_id\', n."buyer_id", \'state\', n."state", \'lines\', n."lines", \'total\', n."total", \'confirm_until\', to_char(n."confirm_until" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', n."reason")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='f99f4bb14d12f0309b501cf382a99b530ca1d35c', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_284d7', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_order', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'shop.order\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'number\', o."number", \'buyer_id\', o."buyer_id", \'state\', o."state", \'lines\', o."lines", \'total\', o."total", \'confirm_until\', to_char(o."confirm_until" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', o."reason") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'number\', n."number", \'buyer_id\', n."buyer_id", \'state\', n."state", \'lines\', n."lines", \'total\', n."total", \'confirm_until\', to_char(n."confirm_until" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', n."reason") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='15a61c9604d9b6ceac30ba1444ebeb114751b972', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_e70f0', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_order', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.order\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'buyer_id\', o."buyer_id", \'state\', o."state", \'lines\', o."lines", \'total\', o."total", \'confirm_until\', to_char(o."confirm_until" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', o."reason")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='40b3b653c936a18f83790f9e08246b80bc906fd0', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_e828e', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_order', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "shop_order" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.order\', o."id"::text, \'deleted\', jsonb_build_object(\'number\', o."number", \'buyer_id\', o."buyer_id", \'state\', o."state", \'lines\', o."lines", \'total\', o."total", \'confirm_until\', to_char(o."confirm_until" AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), \'reason\', o."reason")\nFROM "shop_order" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='4bd510560851f844c893eb53fe6c03958f5a50c7', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_3361b', table='shop_order', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='c1de599ac3617ddd5adb0dfd591c7e0ebb0edf2d', operation='UPDATE', pgid='pgtrigger_touch_ab7a2', table='shop_order', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_buyer_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.buyer_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.buyer_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.buyer_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_order_buyer_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='49cb14571a5da3b171207e55cdbf93044d77c788', operation='INSERT', pgid='pgtrigger_alive_buyer_insert_340b0', table='shop_order', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_buyer_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.buyer_id IS DISTINCT FROM OLD.buyer_id))', func="\nIF NEW.buyer_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.buyer_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.buyer_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_order_buyer_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='ec3a0e49010cc9671da5e8d5ce02379a0ad04d44', operation='UPDATE OF "buyer_id", "deleted"', pgid='pgtrigger_alive_buyer_update_040d5', table='shop_order', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='begin', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (NEW.state NOT IN ('PENDING_CONFIRMATION', 'ACCEPTED'))", func="RAISE EXCEPTION 'No transition of an order leads from % to %.', 'nothing', NEW.state USING ERRCODE = 'check_violation';", hash='03651db6c88c877857e89e4f86a88301f443a08c', operation='INSERT', pgid='pgtrigger_begin_84bb2', table='shop_order', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='go_on', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN (('PENDING_CONFIRMATION', 'CONFIRMED'), ('PENDING_CONFIRMATION', 'NOT_CONFIRMED'), ('PENDING_CONFIRMATION', 'CANCELLED'), ('CONFIRMED', 'ACCEPTED'), ('CONFIRMED', 'REJECTED')))", func="RAISE EXCEPTION 'No transition of an order leads from % to %.', OLD.state, NEW.state USING ERRCODE = 'check_violation';", hash='23b0f35b24c3b7426b988f62b57a7b392a046422', operation='UPDATE', pgid='pgtrigger_go_on_1051a', table='shop_order', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='record_transition', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_ordertransition (order_id, source, target, actor, reason)\nSELECT n.id, o.state, n.state, nullif(current_setting('lockstep.actor', true), ''), n.reason\nFROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.state <> o.state;\nRETURN NULL;", hash='d7fcfa2cc55ea8a069732db8ae999d75511858f6', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_record_transition_7bf89', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_order', when='AFTER')),
                ],
            },
        ),
        migrations.CreateModel(
            name='OrderTransition',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='transitions', to='shop.order')),
                ('source', models.TextField()),
                ('target', models.TextField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('actor', models.TextField(help_text='user:<id>; null for the system itself.', null=True)),
                ('reason', models.TextField(blank=True, db_default='')),
            ],
        ),
        migrations.CreateModel(
            name='Movement',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('product', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='movements', to='shop.product')),
                ('order', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='movements', to='shop.order')),
                ('delta', models.BigIntegerField()),
                ('reason', models.TextField(choices=[('OPENING', 'the stock that the product began with'), ('CORRECTION', 'somebody set the stock'), ('ORDER', 'ordered'), ('EXPIRE', 'back: the order was not confirmed in time'), ('CANCEL', 'back: the order was cancelled'), ('REJECT', 'back: the payment was declined'), ('END', 'back: staff ended the order')])),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('actor', models.TextField(help_text='user:<id>; null for the system itself.', null=True)),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('delta', 0), _negated=True), name='shop_movement_moves'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='move_stock', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (pg_trigger_depth() = 0)', func='UPDATE shop_product p SET stock = p.stock + d.delta\nFROM (SELECT product_id, sum(delta)::bigint AS delta FROM new_rows GROUP BY product_id) AS d\nWHERE p.id = d.product_id;\nRETURN NULL;', hash='d511800817a2a93a1671c069eb621acaf48f22a8', level='STATEMENT', operation='INSERT', pgid='pgtrigger_move_stock_d81a7', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_movement', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='never_rewritten', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='9fc08e7587d9dbb5f5cf511934221bbc364dfa9d', operation='UPDATE OR DELETE', pgid='pgtrigger_never_rewritten_c6044', table='shop_movement', when='BEFORE')),
                ],
            },
        ),
        migrations.CreateModel(
            name='Payment',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='payment', to='shop.order')),
                ('token', models.TextField(blank=True, help_text='Stands for the card at the gateway; nothing once it is decided.')),
                ('amount', models.DecimalField(decimal_places=2, max_digits=24)),
                ('charge', models.TextField(blank=True, db_default='', help_text="The gateway's own id of the charge.")),
                ('asked', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ending', models.DateTimeField(help_text='Since when staff want no further charge, and the order to end.', null=True)),
                ('decided', models.DateTimeField(null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it was declined.')),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('amount__range', (0, Decimal('9999999999999999999999.99')))), name='shop_payment_amount'),
                ],
            },
        ),
        migrations.CreateModel(
            name='CardTry',
            fields=[
                ('key', models.TextField(primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('until', models.DateTimeField(db_index=True, help_text='When it is forgotten.')),
            ],
        ),
        migrations.CreateModel(
            name='Bag',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.entities.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bags', to=settings.AUTH_USER_MODEL)),
                ('state', models.TextField(choices=[('OPEN', 'open'), ('ORDERED', 'ordered')], db_default='OPEN')),
                ('order', models.OneToOneField(help_text='What became of it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='bag', to='shop.order')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(models.F('user'), condition=models.Q(('deleted', None), ('state', 'OPEN')), name='shop_bag_open_once'),
                    models.CheckConstraint(condition=models.Q(('state__in', ['OPEN', 'ORDERED'])), name='shop_bag_state'),
                ],
                'triggers': [
                    pgtrigger.compiler.Trigger(name='capture_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, after)\nSELECT \'shop.bag\', n."id"::text, \'created\', jsonb_build_object(\'user_id\', n."user_id", \'state\', n."state", \'order_id\', n."order_id")\nFROM new_rows n\nWHERE n."id" IS NOT NULL AND n.deleted IS NULL;\nRETURN NULL;', hash='c34b6199d60b71408ffe61045fcc61dfd028e424', level='STATEMENT', operation='INSERT', pgid='pgtrigger_capture_insert_67d17', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_bag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before, after)\nSELECT \'shop.bag\', key, CASE WHEN before IS NULL THEN \'created\' WHEN after IS NULL THEN \'deleted\' ELSE \'updated\' END,\n       before, after\nFROM (\n    SELECT coalesce(n."id", o."id")::text AS key,\n           CASE WHEN o."id" IS NOT NULL AND o.deleted IS NULL THEN jsonb_build_object(\'user_id\', o."user_id", \'state\', o."state", \'order_id\', o."order_id") END AS before,\n           CASE WHEN n."id" IS NOT NULL AND n.deleted IS NULL THEN jsonb_build_object(\'user_id\', n."user_id", \'state\', n."state", \'order_id\', n."order_id") END AS after\n    FROM old_rows o FULL JOIN new_rows n ON n."id" = o."id"\n    OFFSET 0\n) AS pair\nWHERE before IS DISTINCT FROM after;\nRETURN NULL;', hash='1034334ce6efb4e567e9295049587e302eea946a', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_capture_update_ea660', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_bag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.bag\', o."id"::text, \'deleted\', jsonb_build_object(\'user_id\', o."user_id", \'state\', o."state", \'order_id\', o."order_id")\nFROM old_rows o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='6e75d6a8e4c3ba7a05cbeb1e542fa8a78af9b11a', level='STATEMENT', operation='DELETE', pgid='pgtrigger_capture_delete_fb3f0', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_bag', when='AFTER')),
                    pgtrigger.compiler.Trigger(name='capture_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func='IF current_setting(\'transaction_isolation\') <> \'read committed\' THEN\n    RAISE EXCEPTION \'TRUNCATE of "shop_bag" is refused at this isolation level: use READ COMMITTED, or DELETE.\';\nEND IF;\nINSERT INTO changes_change (model, object_id, kind, before)\nSELECT \'shop.bag\', o."id"::text, \'deleted\', jsonb_build_object(\'user_id\', o."user_id", \'state\', o."state", \'order_id\', o."order_id")\nFROM "shop_bag" o\nWHERE o."id" IS NOT NULL AND o.deleted IS NULL;\nRETURN NULL;', hash='bf0a4b55d81b9fcd7e5130aadca6c7a0e06b4cc7', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_capture_truncate_63d49', table='shop_bag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='3fa219370decdb4303b515c6fab079b9caff6790', operation='UPDATE', pgid='pgtrigger_touch_37e92', table='shop_bag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_user_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func="\nIF NEW.user_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.user_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.user_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_bag_user_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='9cf0adbf6cc4790356bcc3282dbbef6998aeed80', operation='INSERT', pgid='pgtrigger_alive_user_insert_3f878', table='shop_bag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='alive_user_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.user_id IS DISTINCT FROM OLD.user_id))', func="\nIF NEW.user_id IS NOT NULL THEN\n    PERFORM FROM accounts_user WHERE id = NEW.user_id AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION 'accounts.user % does not exist or is deleted.', NEW.user_id\n            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'shop_bag_user_id_alive';\n    END IF;\nEND IF;\nRETURN NEW;\n", hash='2bdca6de2d65b9a12cc42f1e1ba4220c6d97c2ec', operation='UPDATE OF "user_id", "deleted"', pgid='pgtrigger_alive_user_update_d5240', table='shop_bag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='begin', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (NEW.state NOT IN ('OPEN'))", func="RAISE EXCEPTION 'No transition of a bag leads from % to %.', 'nothing', NEW.state USING ERRCODE = 'check_violation';", hash='15a1085736ad6ac98d873afd7342f97a5426b8fb', operation='INSERT', pgid='pgtrigger_begin_912be', table='shop_bag', when='BEFORE')),
                    pgtrigger.compiler.Trigger(name='go_on', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN (('OPEN', 'ORDERED')))", func="RAISE EXCEPTION 'No transition of a bag leads from % to %.', OLD.state, NEW.state USING ERRCODE = 'check_violation';", hash='19bffffb89fd997b7e31cf3e973570106cca0bf6', operation='UPDATE', pgid='pgtrigger_go_on_275aa', table='shop_bag', when='BEFORE')),
                ],
            },
        ),
        migrations.CreateModel(
            name='BagItem',
            fields=[
                ('pk', models.CompositePrimaryKey('bag', 'product', blank=True, editable=False, primary_key=True, serialize=False)),
                ('bag', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='items', to='shop.bag')),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='shop.product')),
                ('quantity', models.BigIntegerField()),
                ('added', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='shop_bag_item_some'),
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='seller',
            trigger=pgtrigger.compiler.Trigger(name='delete_shop_product', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='\nUPDATE shop_product SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM shop_product WHERE owner_id = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;\n', hash='de5b262ee8ac86e38d87bd8dea67e1b792442215', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_product_adce5', table='accounts_user', when='AFTER')),
        ),
        migrations.RunSQL(SEARCH["plain"], "DROP FUNCTION shop_plain"),
        migrations.RunSQL(SEARCH["index"], "DROP FUNCTION shop_index"),
        migrations.RunSQL(SEARCH["query"], "DROP FUNCTION shop_query"),
        migrations.RunSQL(TAGS["show"], "DROP FUNCTION shop_show_tags"),
        migrations.RunSQL(UNPAID["excess"], "DROP FUNCTION shop_unpaid_excess"),
    ]
