from decimal import Decimal
from pathlib import Path

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

import backend.entities.folding
import backend.entities.models
import lockstep.changes.models
from backend.entities.migration_operations import AddTrigger
from lockstep.sql import statements

SHOP = Path(__file__).parents[1]
SEARCH = statements(SHOP / "search" / "models.py", "search")
TAGS = statements(SHOP / "catalogue" / "models.py", "tags")
UNPAID = statements(SHOP / "orders" / "models.py", "unpaid")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('entities', '0001_initial'),
        ('lockstep', '0001_initial'),
        ('accounts', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE shop_product_number", "DROP SEQUENCE shop_product_number"),
        migrations.RunSQL("CREATE SEQUENCE shop_order_number START 1001", "DROP SEQUENCE shop_order_number"),
        migrations.CreateModel(
            name='CardTry',
            fields=[
                ('key', models.TextField(primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('until', models.DateTimeField(db_index=True, help_text='When the count ends.')),
            ],
        ),
        migrations.CreateModel(
            name='Product',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=backend.entities.models.NextNumber('shop_product_number'), editable=False, unique=True)),
                ('name', models.TextField(validators=[django.core.validators.MaxLengthValidator(200)])),
                ('folded_name', backend.entities.folding.FoldedField(db_default='', editable=False, help_text='The folded name, for searches.')),
                ('description', models.TextField(blank=True, db_default='', validators=[django.core.validators.MaxLengthValidator(20000)])),
                ('price', models.DecimalField(decimal_places=2, max_digits=12, validators=[django.core.validators.MinValueValidator(0)])),
                ('stock', models.BigIntegerField(db_default=0, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000000000)])),
                ('state', models.TextField(choices=[('ON_SALE', 'on sale'), ('OFF_SALE', 'off sale')], db_default='ON_SALE')),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], editable=False, size=None)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='products', to=settings.AUTH_USER_MODEL)),
            ],
        ),
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
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('number', models.BigIntegerField(db_default=backend.entities.models.NextNumber('shop_order_number'), editable=False, unique=True)),
                ('state', models.TextField(choices=[('PENDING_CONFIRMATION', 'pending confirmation'), ('ACCEPTED', 'accepted'), ('CONFIRMED', 'confirmed'), ('NOT_CONFIRMED', 'not confirmed'), ('CANCELLED', 'cancelled'), ('REJECTED', 'rejected')], db_default='PENDING_CONFIRMATION')),
                ('lines', models.JSONField(help_text='[{"product", "number", "name", "price", "quantity"}], by product')),
                ('total', models.DecimalField(decimal_places=2, max_digits=24)),
                ('confirm_until', models.DateTimeField(help_text='The deadline for confirming the order.', null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why the order is in its state; may be empty.')),
                ('buyer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Bag',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('state', models.TextField(choices=[('OPEN', 'open'), ('ORDERED', 'ordered')], db_default='OPEN')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bags', to=settings.AUTH_USER_MODEL)),
                ('order', models.OneToOneField(help_text='The order of its contents.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='bag', to='shop.order')),
            ],
        ),
        migrations.CreateModel(
            name='OrderTransition',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('target', models.TextField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('actor', models.TextField(help_text='user:<id>; null for the system itself.', null=True)),
                ('reason', models.TextField(blank=True, db_default='')),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='transitions', to='shop.order')),
            ],
        ),
        migrations.CreateModel(
            name='Payment',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('token', models.TextField(blank=True, help_text="The gateway's token of the card; empty once the payment is decided.")),
                ('amount', models.DecimalField(decimal_places=2, max_digits=24)),
                ('charge', models.TextField(blank=True, db_default='', help_text="The gateway's own id of the charge.")),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ending', models.DateTimeField(help_text='When staff began to end the order.', null=True)),
                ('decided', models.DateTimeField(null=True)),
                ('reason', models.TextField(blank=True, db_default='', help_text='Why it was declined.')),
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='payment', to='shop.order')),
            ],
        ),
        migrations.CreateModel(
            name='SearchEntry',
            fields=[
                ('product', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='shop.product')),
                ('document', django.contrib.postgres.search.SearchVectorField()),
            ],
        ),
        migrations.CreateModel(
            name='PendingVocabulary',
            fields=[
                ('product', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='shop.product')),
            ],
        ),
        migrations.CreateModel(
            name='Movement',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('delta', models.BigIntegerField()),
                ('reason', models.TextField(choices=[('OPENING', 'the initial stock of the product'), ('CORRECTION', 'the stock was set'), ('ORDER', 'ordered'), ('EXPIRE', 'released: the order was not confirmed in time'), ('CANCEL', 'released: the order was cancelled'), ('REJECT', 'released: the payment was declined'), ('END', 'released: staff ended the order')])),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('actor', models.TextField(help_text='user:<id>; null for the system itself.', null=True)),
                ('order', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='movements', to='shop.order')),
                ('product', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='movements', to='shop.product')),
            ],
        ),
        migrations.CreateModel(
            name='BagItem',
            fields=[
                ('pk', models.CompositePrimaryKey('bag', 'product', blank=True, editable=False, primary_key=True, serialize=False)),
                ('quantity', models.BigIntegerField()),
                ('added', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('bag', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='items', to='shop.bag')),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='shop.product')),
            ],
        ),
        migrations.CreateModel(
            name='SearchWord',
            fields=[
                ('word', models.TextField(primary_key=True, serialize=False)),
            ],
            options={
                'indexes': [django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('word', 'gin_trgm_ops'), name='shop_search_word_like')],
            },
        ),
        migrations.CreateModel(
            name='Tag',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('name', models.TextField(validators=[django.core.validators.MaxLengthValidator(50)])),
                ('description', models.TextField(blank=True, db_default='', validators=[django.core.validators.MaxLengthValidator(20000)])),
            ],
            options={
                'indexes': [models.Index(django.contrib.postgres.indexes.OpClass(backend.entities.folding.Fold('name'), 'text_pattern_ops'), name='shop_tag_prefix')],
                'constraints': [models.UniqueConstraint(backend.entities.folding.Fold('name'), condition=models.Q(('deleted', None)), name='shop_tag_name', violation_error_message='A tag with this name exists already.')],
            },
        ),
        migrations.CreateModel(
            name='ProductTag',
            fields=[
                ('id', models.UUIDField(db_default=lockstep.changes.models.UUID7(), default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted', models.DateTimeField(default=None, editable=False, null=True)),
                ('version', models.BigIntegerField(db_default=1, editable=False)),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='links', to='shop.product')),
                ('tag', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='links', to='shop.tag')),
            ],
        ),
        AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='bf4b5c8062b239806811ad9a7e80769b59253dc0', operation='UPDATE', pgid='pgtrigger_touch_16f22', table='shop_tag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM "shop_tag" WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='0c2443ebe4fcc6f839faf5b11a7fc16a09f916e1', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_507c2', table='shop_tag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='delete_shop_producttag', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM shop_product WHERE id IN (SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL)\nORDER BY id FOR NO KEY UPDATE;\nUPDATE "shop_producttag" SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM "shop_producttag" WHERE "tag_id" = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;', hash='61a7473c89d2079617d88f1b52a37cc0682b6129', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_producttag_7b09c', table='shop_tag', when='AFTER')),
        ),
        AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='tagged', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."deleted" IS DISTINCT FROM (NEW."deleted") OR OLD."name" IS DISTINCT FROM (NEW."name"))', func='PERFORM shop_show_tags(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));\nPERFORM shop_index(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));\nRETURN NULL;', hash='86f3be709ef5d6e2200cb04a37333427b2dadece', operation='UPDATE OF "name", "deleted"', pgid='pgtrigger_tagged_bd399', table='shop_tag', when='AFTER')),
        ),
        AddTrigger(
            model_name='seller',
            trigger=pgtrigger.compiler.Trigger(name='delete_shop_product', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='UPDATE "shop_product" SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM "shop_product" WHERE "owner_id" = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;', hash='2ba319265bbf7888ae89b978cae3d4293afa0c55', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_product_adce5', table='accounts_user', when='AFTER')),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['buyer', '-id'], name='shop_order_of'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('state', 'PENDING_CONFIRMATION')), fields=['confirm_until'], name='shop_order_due'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('state__in', ('PENDING_CONFIRMATION', 'CONFIRMED'))), fields=['buyer'], name='shop_order_unpaid'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['PENDING_CONFIRMATION', 'ACCEPTED', 'CONFIRMED', 'NOT_CONFIRMED', 'CANCELLED', 'REJECTED'])), name='shop_order_state'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('total__range', (0, Decimal('9999999999999999999999.99')))), name='shop_order_total'),
        ),
        AddTrigger(
            model_name='order',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='c1de599ac3617ddd5adb0dfd591c7e0ebb0edf2d', operation='UPDATE', pgid='pgtrigger_touch_ab7a2', table='shop_order', when='BEFORE')),
        ),
        AddTrigger(
            model_name='order',
            trigger=pgtrigger.compiler.Trigger(name='alive_buyer_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."buyer_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."buyer_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."buyer_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_order_buyer_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='53b8a7688bf52e8acb96b177454bab7b4103d1a3', operation='INSERT', pgid='pgtrigger_alive_buyer_insert_340b0', table='shop_order', when='BEFORE')),
        ),
        AddTrigger(
            model_name='order',
            trigger=pgtrigger.compiler.Trigger(name='alive_buyer_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."buyer_id" IS DISTINCT FROM OLD."buyer_id"))', func='IF NEW."buyer_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."buyer_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."buyer_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_order_buyer_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='d115b991f90d11bbad0ac950f4d1d66650347f7b', operation='UPDATE OF "buyer_id", "deleted"', pgid='pgtrigger_alive_buyer_update_040d5', table='shop_order', when='BEFORE')),
        ),
        AddTrigger(
            model_name='order',
            trigger=pgtrigger.compiler.Trigger(name='initial_state', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (NEW.state NOT IN ('PENDING_CONFIRMATION', 'ACCEPTED'))", func="RAISE EXCEPTION 'No transition of an order leads from % to %.', 'nothing', NEW.state USING ERRCODE = 'check_violation';", hash='bce20e800495b0e901adb8711b36c694bb76c530', operation='INSERT', pgid='pgtrigger_initial_state_ad4b2', table='shop_order', when='BEFORE')),
        ),
        AddTrigger(
            model_name='order',
            trigger=pgtrigger.compiler.Trigger(name='allowed_transition', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN (('PENDING_CONFIRMATION', 'CONFIRMED'), ('PENDING_CONFIRMATION', 'NOT_CONFIRMED'), ('PENDING_CONFIRMATION', 'CANCELLED'), ('CONFIRMED', 'ACCEPTED'), ('CONFIRMED', 'REJECTED')))", func="RAISE EXCEPTION 'No transition of an order leads from % to %.', OLD.state, NEW.state USING ERRCODE = 'check_violation';", hash='e2e14edff4f4835b4453668fdcc514f0f9c4c34a', operation='UPDATE', pgid='pgtrigger_allowed_transition_e5836', table='shop_order', when='BEFORE')),
        ),
        AddTrigger(
            model_name='order',
            trigger=pgtrigger.compiler.Trigger(name='record_transition', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_ordertransition (order_id, source, target, actor, reason)\nSELECT n.id, o.state, n.state, nullif(current_setting('lockstep.actor', true), ''), n.reason\nFROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.state <> o.state;\nRETURN NULL;", hash='d7fcfa2cc55ea8a069732db8ae999d75511858f6', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_record_transition_7bf89', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_order', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='bag',
            constraint=models.UniqueConstraint(models.F('user'), condition=models.Q(('deleted', None), ('state', 'OPEN')), name='shop_bag_open_once'),
        ),
        migrations.AddConstraint(
            model_name='bag',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['OPEN', 'ORDERED'])), name='shop_bag_state'),
        ),
        AddTrigger(
            model_name='bag',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='3fa219370decdb4303b515c6fab079b9caff6790', operation='UPDATE', pgid='pgtrigger_touch_37e92', table='shop_bag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='bag',
            trigger=pgtrigger.compiler.Trigger(name='alive_user_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."user_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."user_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."user_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_bag_user_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='3b609ae808d80b93e31c5d4f8d75210dd8ec8d93', operation='INSERT', pgid='pgtrigger_alive_user_insert_3f878', table='shop_bag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='bag',
            trigger=pgtrigger.compiler.Trigger(name='alive_user_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."user_id" IS DISTINCT FROM OLD."user_id"))', func='IF NEW."user_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."user_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."user_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_bag_user_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='e5f746487627c17053c5e4adb3815af314745bfa', operation='UPDATE OF "user_id", "deleted"', pgid='pgtrigger_alive_user_update_d5240', table='shop_bag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='bag',
            trigger=pgtrigger.compiler.Trigger(name='initial_state', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (NEW.state NOT IN ('OPEN'))", func="RAISE EXCEPTION 'No transition of a bag leads from % to %.', 'nothing', NEW.state USING ERRCODE = 'check_violation';", hash='e042a40f98bc143d2b0891410bad637421eeb0a6', operation='INSERT', pgid='pgtrigger_initial_state_117ca', table='shop_bag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='bag',
            trigger=pgtrigger.compiler.Trigger(name='allowed_transition', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN (('OPEN', 'ORDERED')))", func="RAISE EXCEPTION 'No transition of a bag leads from % to %.', OLD.state, NEW.state USING ERRCODE = 'check_violation';", hash='4bd0fc375fb64f300bf96730c1ef962d3e3d8f81', operation='UPDATE', pgid='pgtrigger_allowed_transition_c7900', table='shop_bag', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(('amount__range', (0, Decimal('9999999999999999999999.99')))), name='shop_payment_amount'),
        ),
        migrations.AddIndex(
            model_name='searchentry',
            index=django.contrib.postgres.indexes.GinIndex(fastupdate=False, fields=['document'], name='shop_search_document'),
        ),
        migrations.AddIndex(
            model_name='product',
            index=models.Index(condition=models.Q(('deleted', None), ('state', 'ON_SALE')), fields=['-id'], name='shop_product_newest'),
        ),
        migrations.AddIndex(
            model_name='product',
            index=models.Index(condition=models.Q(('deleted', None)), fields=['owner', '-id'], name='shop_product_of'),
        ),
        migrations.AddIndex(
            model_name='product',
            index=models.Index(condition=models.Q(('deleted', None)), fields=['price', 'id'], name='shop_product_price_first'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.CheckConstraint(condition=models.Q(('stock__gte', 0)), name='shop_product_stock', violation_error_message='The stock cannot be below zero.'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.CheckConstraint(condition=models.Q(('stock__lte', 9007199254740991)), name='shop_product_stock_most', violation_error_message='The stock cannot be above 9007199254740991.'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.CheckConstraint(condition=models.Q(('price__range', (0, Decimal('9999999999.99')))), name='shop_product_price', violation_error_message='The price must be from 0 to 9999999999.99.'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['ON_SALE', 'OFF_SALE'])), name='shop_product_state'),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='f988455f4216c131c0450b294ab3b3807d35b5e4', operation='UPDATE', pgid='pgtrigger_touch_a5117', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='alive_owner_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."owner_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."owner_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."owner_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_product_owner_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='4f5ec7358ac633714471618d9d3791f2ccc1c6f0', operation='INSERT', pgid='pgtrigger_alive_owner_insert_616e2', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='alive_owner_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."owner_id" IS DISTINCT FROM OLD."owner_id"))', func='IF NEW."owner_id" IS NOT NULL THEN\n    PERFORM FROM "accounts_user" WHERE "id" = NEW."owner_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'accounts.user\', NEW."owner_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_product_owner_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='a50b38c62cdeb7ef643ebe7024a3b98fb1787f7d', operation='UPDATE OF "owner_id", "deleted"', pgid='pgtrigger_alive_owner_update_622f8', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='wait_for_dependents', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='PERFORM FROM "shop_product" WHERE id = NEW.id FOR UPDATE; RETURN NEW;', hash='faa444ba5922619dd00abb41bfc21a873d2d735a', operation='UPDATE OF "deleted"', pgid='pgtrigger_wait_for_dependents_3ec8e', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='delete_shop_producttag', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW."deleted" IS NOT NULL AND OLD."deleted" IS NULL)', func='UPDATE "shop_producttag" SET deleted = NEW.deleted WHERE id = ANY (ARRAY(\n    SELECT id FROM "shop_producttag" WHERE "product_id" = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));\nRETURN NULL;', hash='7cf0a3372a0d2096250fca8dd80bfaac67839f34', operation='UPDATE OF "deleted"', pgid='pgtrigger_delete_shop_producttag_294cf', table='shop_product', when='AFTER')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='write_folded_name', sql=pgtrigger.compiler.UpsertTriggerSql(func='NEW."folded_name" := lockstep_fold(coalesce(NEW."name", \'\')); RETURN NEW;', hash='f069d7f00a5735b396917a223297e0b573c6bc98', operation='INSERT OR UPDATE OF "name", "folded_name"', pgid='pgtrigger_write_folded_name_bfcef', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='initial_state', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (NEW.state NOT IN ('ON_SALE'))", func="RAISE EXCEPTION 'No transition of a product leads from % to %.', 'nothing', NEW.state USING ERRCODE = 'check_violation';", hash='d9c187b5b3556c97512e1fb435f7cd3e0d9049d3', operation='INSERT', pgid='pgtrigger_initial_state_ffb1f', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='allowed_transition', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN (('ON_SALE', 'OFF_SALE'), ('OFF_SALE', 'ON_SALE')))", func="RAISE EXCEPTION 'No transition of a product leads from % to %.', OLD.state, NEW.state USING ERRCODE = 'check_violation';", hash='6db71aa6c5e6ee0e495afe262950261692299420', operation='UPDATE', pgid='pgtrigger_allowed_transition_acc88', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='open_ledger', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT n.id, n.stock, 'OPENING', nullif(current_setting('lockstep.actor', true), '')\nFROM new_rows n WHERE n.stock <> 0;\nRETURN NULL;", hash='ec506a00bcfbd7398da33add274b81937a9ed956', level='STATEMENT', operation='INSERT', pgid='pgtrigger_open_ledger_fab3d', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='correct_ledger', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (pg_trigger_depth() = 0 OR NOT has_table_privilege('shop_movement'::regclass, 'TRIGGER'))", func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT coalesce(n.id, o.id), coalesce(n.stock, 0) - coalesce(o.stock, 0), 'CORRECTION',\n       nullif(current_setting('lockstep.actor', true), '')\nFROM new_rows n FULL JOIN old_rows o ON o.id = n.id WHERE coalesce(n.stock, 0) <> coalesce(o.stock, 0);\nRETURN NULL;", hash='fb1714285e6ba5bc3e5ea5e461925beea0bfe03c', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_correct_ledger_c8671', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='close_ledger', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT o.id, -o.stock, 'CORRECTION', nullif(current_setting('lockstep.actor', true), '')\nFROM old_rows o WHERE o.stock <> 0;\nRETURN NULL;", hash='dc3aad1ea9912c01342160e3d622808167edee06', level='STATEMENT', operation='DELETE', pgid='pgtrigger_close_ledger_d8e7d', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_product', when='AFTER')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='close_ledgers', sql=pgtrigger.compiler.UpsertTriggerSql(func="INSERT INTO shop_movement (product_id, delta, reason, actor)\nSELECT o.id, -o.stock, 'CORRECTION', nullif(current_setting('lockstep.actor', true), '')\nFROM shop_product o WHERE o.stock <> 0;\nRETURN NULL;", hash='25be0abc63cc7c1da8e959786668e055cbb91c30', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_close_ledgers_0e1e4', table='shop_product', when='BEFORE')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='index_new', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_index(ARRAY(SELECT id FROM new_rows));\nRETURN NULL;', hash='a6de2e59847af10ac252c7f6d85a5839edcbc001', level='STATEMENT', operation='INSERT', pgid='pgtrigger_index_new_ed32b', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_product', when='AFTER')),
        ),
        AddTrigger(
            model_name='product',
            trigger=pgtrigger.compiler.Trigger(name='index_words', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."deleted" IS DISTINCT FROM (NEW."deleted") OR OLD."description" IS DISTINCT FROM (NEW."description") OR OLD."name" IS DISTINCT FROM (NEW."name"))', func='PERFORM shop_index(ARRAY[NEW.id]); RETURN NULL;', hash='7e5aeeefdc8eae7848b41ebe567a53bc764514ca', operation='UPDATE OF "name", "description", "deleted"', pgid='pgtrigger_index_words_610d7', table='shop_product', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='movement',
            constraint=models.CheckConstraint(condition=models.Q(('delta', 0), _negated=True), name='shop_movement_moves'),
        ),
        AddTrigger(
            model_name='movement',
            trigger=pgtrigger.compiler.Trigger(name='move_stock', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (pg_trigger_depth() = 0 OR NOT has_table_privilege('shop_movement'::regclass, 'TRIGGER'))", declare='DECLARE moved bigint;', func="UPDATE shop_product p SET stock = p.stock + d.delta\nFROM (SELECT product_id, sum(delta)::bigint AS delta FROM new_rows GROUP BY product_id) AS d\nWHERE p.id = d.product_id;\nGET DIAGNOSTICS moved = ROW_COUNT;\nIF moved <> (SELECT count(*) FROM new_rows) THEN\n    IF moved <> (SELECT count(DISTINCT product_id) FROM new_rows) THEN\n        RAISE EXCEPTION 'A movement needs a product.' USING ERRCODE = 'check_violation';\n    END IF;\nEND IF;\nRETURN NULL;", hash='25eea4a7a822efd972dc366a64d5d801467b67de', level='STATEMENT', operation='INSERT', pgid='pgtrigger_move_stock_d81a7', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_movement', when='AFTER')),
        ),
        AddTrigger(
            model_name='movement',
            trigger=pgtrigger.compiler.Trigger(name='never_rewritten', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='9fc08e7587d9dbb5f5cf511934221bbc364dfa9d', operation='UPDATE OR DELETE', pgid='pgtrigger_never_rewritten_c6044', table='shop_movement', when='BEFORE')),
        ),
        AddTrigger(
            model_name='movement',
            trigger=pgtrigger.compiler.Trigger(name='never_emptied', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'The ledger is never emptied.' USING ERRCODE = 'restrict_violation';", hash='107e9bbdf72fd13c0d3cb5fa0d04a87e5c6c2893', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_never_emptied_f848e', table='shop_movement', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='bagitem',
            constraint=models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='shop_bag_item_some'),
        ),
        migrations.AddIndex(
            model_name='producttag',
            index=models.Index(condition=models.Q(('deleted', None)), fields=['tag', '-product'], name='shop_tagged'),
        ),
        migrations.AddConstraint(
            model_name='producttag',
            constraint=models.UniqueConstraint(models.F('product'), models.F('tag'), condition=models.Q(('deleted', None)), name='shop_product_tag_once'),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='touch', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;', hash='f71a8ab87a6c4b409021a7bbc038bceeb7ca33ca', operation='UPDATE', pgid='pgtrigger_touch_370b4', table='shop_producttag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_tag_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."tag_id" IS NOT NULL THEN\n    PERFORM FROM "shop_tag" WHERE "id" = NEW."tag_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'shop.tag\', NEW."tag_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_producttag_tag_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='e12c2933a8bed0c4282341c6b172bfd466b0a30f', operation='INSERT', pgid='pgtrigger_alive_tag_insert_60421', table='shop_producttag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_tag_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."tag_id" IS DISTINCT FROM OLD."tag_id"))', func='IF NEW."tag_id" IS NOT NULL THEN\n    PERFORM FROM "shop_tag" WHERE "id" = NEW."tag_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'shop.tag\', NEW."tag_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_producttag_tag_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='b8c1523d7709bd8ab6033c456513433be85dded2', operation='UPDATE OF "tag_id", "deleted"', pgid='pgtrigger_alive_tag_update_e7f42', table='shop_producttag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_product_insert', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL)', func='IF NEW."product_id" IS NOT NULL THEN\n    PERFORM FROM "shop_product" WHERE "id" = NEW."product_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'shop.product\', NEW."product_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_producttag_product_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='69b53dab7b31d47f23871e71c5be7a93d1fc3f91', operation='INSERT', pgid='pgtrigger_alive_product_insert_70217', table='shop_producttag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='alive_product_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW."product_id" IS DISTINCT FROM OLD."product_id"))', func='IF NEW."product_id" IS NOT NULL THEN\n    PERFORM FROM "shop_product" WHERE "id" = NEW."product_id" AND deleted IS NULL FOR KEY SHARE;\n    IF NOT FOUND THEN\n        RAISE EXCEPTION \'% % does not exist or is deleted.\', \'shop.product\', NEW."product_id"\n            USING ERRCODE = \'foreign_key_violation\', CONSTRAINT = \'shop_producttag_product_id_alive\';\n    END IF;\nEND IF;\nRETURN NEW;', hash='c84a69d7ae8ce3a0d6345ea9c6feeb8a2395b598', operation='UPDATE OF "product_id", "deleted"', pgid='pgtrigger_alive_product_update_8954c', table='shop_producttag', when='BEFORE')),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='linked', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_show_tags(ARRAY(SELECT DISTINCT product_id FROM new_rows));\nPERFORM shop_index(ARRAY(SELECT DISTINCT product_id FROM new_rows));\nRETURN NULL;', hash='572f141102b3925c3912f2616f11618cfe9b1901', level='STATEMENT', operation='INSERT', pgid='pgtrigger_linked_c68f3', referencing='REFERENCING NEW TABLE AS new_rows ', table='shop_producttag', when='AFTER')),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='relinked', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_show_tags(ARRAY(SELECT product_id FROM old_rows UNION SELECT product_id FROM new_rows));\nPERFORM shop_index(ARRAY(SELECT product_id FROM old_rows UNION SELECT product_id FROM new_rows));\nRETURN NULL;', hash='64b5b7b8ac42db630061e33cd0403fb2e3e7f575', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_relinked_20d8e', referencing='REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ', table='shop_producttag', when='AFTER')),
        ),
        AddTrigger(
            model_name='producttag',
            trigger=pgtrigger.compiler.Trigger(name='unlinked', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM shop_show_tags(ARRAY(SELECT DISTINCT product_id FROM old_rows));\nPERFORM shop_index(ARRAY(SELECT DISTINCT product_id FROM old_rows));\nRETURN NULL;', hash='8b7ccb9154dd6db6fc6f836fec98080ce6eef509', level='STATEMENT', operation='DELETE', pgid='pgtrigger_unlinked_dbc1f', referencing='REFERENCING OLD TABLE AS old_rows ', table='shop_producttag', when='AFTER')),
        ),
        migrations.RunSQL(SEARCH["plain"], "DROP FUNCTION shop_plain"),
        migrations.RunSQL(SEARCH["index"], "DROP FUNCTION shop_index"),
        migrations.RunSQL(SEARCH["query"], "DROP FUNCTION shop_query"),
        migrations.RunSQL(TAGS["show"], "DROP FUNCTION shop_show_tags"),
        migrations.RunSQL(UNPAID["excess"], "DROP FUNCTION shop_unpaid_excess"),
    ]
