"""The shop: products of users, the stock ledger, bags, orders and payments."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pgtrigger
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from backend.entities.dependents import deletes, deletes_of_user
from backend.entities.folding import Fold, FoldedField, LabelField, NormalTextField, SortKey, fold_trigger
from backend.entities.transition_tables import BOTH_ROWS, NEW_ROWS, OLD_ROWS
from backend.shop import machines
from lockstep import EVERYBODY, Visibility, capture
from lockstep.changes.sql_file import load
from lockstep.rest.entities import BUMP_VERSION, AliveParent, AnyUser, Entity, EntityQuerySet, number_field

MAX_LINES = 100  # of an order, and so of a bag
# Limits of input. The database limits the stock to MAX_STORED_STOCK, the largest integer of JavaScript, so far above
# MAX_STOCK that the stock of a cancelled order can always be released.
MAX_NAME, MAX_DESCRIPTION, MAX_TAG = 200, 20_000, 50
MAX_STOCK, MAX_STORED_STOCK = 1_000_000_000_000, 2**53 - 1
MAX_QUANTITY = 1_000_000  # units of one product in an order
# The largest values of their columns. Without an upper bound NaN passes: PostgreSQL sorts it above every number.
MAX_PRICE, MAX_TOTAL = Decimal("9999999999.99"), Decimal("9999999999999999999999.99")
# pgtrigger leaves these untyped.
TEXT_COLUMNS: Any = pgtrigger.UpdateOf("name", "description", "deleted")  # type: ignore[no-untyped-call]
OF_NAME: Any = pgtrigger.UpdateOf("name", "deleted")  # type: ignore[no-untyped-call]
TRIGGERS = load(Path(__file__).parent / "sql" / "triggers.sql")
ON_SALE_OR_OWN = Visibility("state", machines.ON_SALE, owner="owner_id")  # is_visible, for readers of changes
# Not within a trigger that runs with the rights of the ledger's owner; a trigger of the session's own role is no
# exception.
NOT_NESTED = pgtrigger.Condition(
    "pg_trigger_depth() = 0 OR NOT has_table_privilege('shop_movement'::regclass, 'TRIGGER')"
)


def is_visible(user: AnyUser, product: str = "") -> models.Q:
    """The condition that a user may see a product: not deleted, and on sale or the user's own. `product`: its path.

    The same rule is in sql/products.sql, sql/orders.sql (place), and in Product.Meta for readers of its changes.
    """
    on_sale = models.Q(**{f"{product}state": machines.ON_SALE})
    return models.Q(**{f"{product}deleted": None}) & (on_sale | models.Q(**{f"{product}owner": user}))


class ProductQuerySet(EntityQuerySet["Product"]):
    """Filters of products."""

    def visible_to(self, user: AnyUser) -> Self:
        """Products on sale, and all of the user's own."""
        return self.filter(is_visible(user))

    def of(self, owner: AnyUser) -> Self:
        """Products of one user."""
        return self.filter(owner=owner)

    def tagged(self, tag: str) -> Self:
        """Products with this tag, by its id, or by its name in any equal spelling."""
        links = ProductTag.objects.alive().filter(tag__in=Tag.objects.alive().called(tag))
        return self.filter(pk__in=links.values("product"))


@capture(
    "number",
    "owner_id",
    "name",
    "description",
    "price",
    "stock",
    "state",
    "tags",
    readers=ON_SALE_OR_OWN,
    soft_delete="deleted",
)
class Product(Entity):
    """A product. The database keeps its stock equal to the sum of its movements in the ledger."""

    number = number_field("shop_product_number")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="products")
    name = NormalTextField(validators=[MaxLengthValidator(MAX_NAME)])
    folded_name = FoldedField(help_text="The folded name, for searches.")
    description = NormalTextField(blank=True, db_default="", validators=[MaxLengthValidator(MAX_DESCRIPTION)])
    price = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(0)])
    stock = models.BigIntegerField(db_default=0, validators=[MinValueValidator(0), MaxValueValidator(MAX_STOCK)])
    state = models.TextField(choices=machines.PRODUCT.choices(), db_default=machines.ON_SALE)
    # The names of its tags (ProductTag) in alphabetical order, maintained by triggers.
    tags = ArrayField(models.TextField(), editable=False, db_default=[])

    objects = ProductQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("owner"),
            *deletes(("shop_producttag", "product_id")),
            fold_trigger("folded_name", "name"),
            *machines.PRODUCT.guard(),
            pgtrigger.Trigger(
                name="open_ledger",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=NEW_ROWS,
                func=TRIGGERS["open_ledger"],
            ),
            pgtrigger.Trigger(
                name="correct_ledger",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                referencing=BOTH_ROWS,
                condition=NOT_NESTED,
                func=TRIGGERS["correct_ledger"],
            ),
            pgtrigger.Trigger(
                name="close_ledger",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Delete,
                referencing=OLD_ROWS,
                func=TRIGGERS["close_ledger"].format(rows="old_rows"),
            ),
            pgtrigger.Trigger(
                name="close_ledgers",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Truncate,
                func=TRIGGERS["close_ledger"].format(rows="shop_product"),
            ),
            pgtrigger.Trigger(
                name="index_new",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=NEW_ROWS,
                func=TRIGGERS["index_new"],
            ),
            # By row: a statement trigger would run at every sale, this one only when words change.
            pgtrigger.Trigger(
                name="index_words",
                when=pgtrigger.After,
                operation=TEXT_COLUMNS,
                condition=pgtrigger.AnyChange("name", "description", "deleted"),
                func="PERFORM shop_index(ARRAY[NEW.id]); RETURN NULL;",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="shop_product_stock",
                condition=models.Q(stock__gte=0),
                violation_error_message="The stock cannot be below zero.",
            ),
            models.CheckConstraint(
                name="shop_product_stock_most",
                condition=models.Q(stock__lte=MAX_STORED_STOCK),
                violation_error_message=f"The stock cannot be above {MAX_STORED_STOCK}.",
            ),
            models.CheckConstraint(
                name="shop_product_price",
                condition=models.Q(price__range=(0, MAX_PRICE)),
                violation_error_message=f"The price must be from 0 to {MAX_PRICE}.",
            ),
            machines.PRODUCT.check("shop_product_state"),
        ]
        indexes = [
            models.Index(fields=["-id"], name="shop_product_newest", condition=models.Q(deleted=None, state="ON_SALE")),
            models.Index(fields=["owner", "-id"], name="shop_product_of", condition=models.Q(deleted=None)),
            models.Index(fields=["price", "id"], name="shop_product_price_first", condition=models.Q(deleted=None)),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name[:60]}"


class Seller(get_user_model()):  # type: ignore[misc]  # the project's user model
    """A user as the owner of products, which are deleted with the account, in the same transaction."""

    uncaptured = "a proxy of the user, which accounts captures"

    class Meta:
        proxy = True
        default_permissions = ()
        triggers = deletes_of_user(("shop_product", "owner_id"))


class TagQuerySet(EntityQuerySet["Tag"]):
    """Filters of tags. Names are compared folded, as in their indexes."""

    def called(self, tag: str) -> Self:
        """Tags with this id or this name, in any equal spelling: a name may look like an id."""
        named = models.Q(name__iexact=tag)
        try:
            return self.filter(named | models.Q(pk=UUID(tag)))
        except ValueError:
            return self.filter(named)

    def beginning(self, prefix: str) -> Self:
        """Tags whose name begins with this prefix, in any equal spelling, annotated with `sort_key`."""
        return self.annotate(sort_key=SortKey("name")).filter(name__istartswith=prefix)


@capture("name", "description", readers=EVERYBODY, soft_delete="deleted")
class Tag(Entity):
    """A tag, which staff create and owners add to their products."""

    name = LabelField(validators=[MaxLengthValidator(MAX_TAG)])
    description = NormalTextField(blank=True, db_default="", validators=[MaxLengthValidator(MAX_DESCRIPTION)])

    objects = TagQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *deletes(("shop_producttag", "tag_id"), first=TRIGGERS["lock_tagged"]),
            pgtrigger.Trigger(
                name="tagged",
                when=pgtrigger.After,
                operation=OF_NAME,
                condition=pgtrigger.AnyChange("name", "deleted"),
                func=TRIGGERS["tagged"],
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                Fold("name"),
                name="shop_tag_name",
                condition=models.Q(deleted=None),
                violation_error_message="A tag with this name exists already.",
            ),
        ]
        indexes = [models.Index(OpClass(Fold("name"), "text_pattern_ops"), name="shop_tag_prefix")]

    def __str__(self) -> str:
        return str(self.name)


# for staff: other users read the tags of the products that they may see
@capture("product_id", "tag_id", soft_delete="deleted")
class ProductTag(Entity):
    """The relation of a product and a tag."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="links")
    tag = models.ForeignKey(Tag, models.CASCADE, related_name="links")

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("tag"),
            *AliveParent.of("product"),
            *(
                pgtrigger.Trigger(
                    name=name,
                    level=pgtrigger.Statement,
                    when=pgtrigger.After,
                    operation=operation,
                    referencing=referencing,
                    func=TRIGGERS[name],
                )
                for name, operation, referencing in (
                    ("linked", pgtrigger.Insert, NEW_ROWS),
                    ("relinked", pgtrigger.Update, BOTH_ROWS),
                    ("unlinked", pgtrigger.Delete, OLD_ROWS),
                )
            ),
        ]
        constraints = [
            models.UniqueConstraint("product", "tag", name="shop_product_tag_once", condition=models.Q(deleted=None)),
        ]
        indexes = [models.Index(fields=["tag", "-product"], name="shop_tagged", condition=models.Q(deleted=None))]

    def __str__(self) -> str:
        return f"{self.product_id} {self.tag_id}"


class SearchEntry(models.Model):
    """The index entry of a product (search.py), maintained by triggers."""

    uncaptured = "derived from the product and its tags, which are captured"

    product = models.OneToOneField(Product, models.CASCADE, primary_key=True, related_name="+", db_constraint=False)
    document = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["document"], name="shop_search_document", fastupdate=False)]

    def __str__(self) -> str:
        return f"{self.product_id}"


class SearchWord(models.Model):
    """A spelling term: a word of a product, with which misspelt words are compared."""

    uncaptured = "derived from products and tags, which are captured"

    word = models.TextField(primary_key=True)

    class Meta:
        # The key's own index for LIKE serves prefixes.
        indexes = [GinIndex(OpClass("word", "gin_trgm_ops"), name="shop_search_word_like")]

    def __str__(self) -> str:
        return self.word


class PendingVocabulary(models.Model):
    """A product whose words a worker still has to add to the vocabulary."""

    uncaptured = "a work queue"

    product = models.OneToOneField(Product, models.CASCADE, primary_key=True, related_name="+", db_constraint=False)

    def __str__(self) -> str:
        return f"{self.product_id}"


class OrderQuerySet(EntityQuerySet["Order"]):
    """Filters of orders."""

    def of(self, buyer: AnyUser) -> Self:
        """Orders of one user."""
        return self.filter(buyer=buyer)

    def due(self) -> Self:
        """Pending orders past their deadline."""
        return self.filter(state=machines.PENDING_CONFIRMATION, confirm_until__lte=Now())


@capture(
    "number",
    "buyer_id",
    "state",
    "lines",
    "total",
    "confirm_until",
    "reason",
    readers="buyer_id",
    soft_delete="deleted",
)
class Order(Entity):
    """An order, at the prices when it was placed. Its lines never change, so they are a column."""

    number = number_field("shop_order_number")
    # It is the first column of the index shop_order_of.
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="orders", db_index=False)
    state = models.TextField(choices=machines.ORDER.choices(), db_default=machines.PENDING_CONFIRMATION)
    lines = models.JSONField(help_text='[{"product", "number", "name", "price", "quantity"}], by product')
    total = models.DecimalField(max_digits=24, decimal_places=2)
    confirm_until = models.DateTimeField(null=True, help_text="The deadline for confirming the order.")
    reason = models.TextField(blank=True, db_default="", help_text="Why the order is in its state; may be empty.")

    objects = OrderQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("buyer"),
            *machines.ORDER.guard(),
            pgtrigger.Trigger(
                name="record_transition",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                referencing=BOTH_ROWS,
                func=TRIGGERS["record_transition"],
            ),
        ]
        constraints = [
            machines.ORDER.check("shop_order_state"),
            models.CheckConstraint(name="shop_order_total", condition=models.Q(total__range=(0, MAX_TOTAL))),
        ]
        indexes = [
            models.Index(fields=["buyer", "-id"], name="shop_order_of"),
            models.Index(
                fields=["confirm_until"],
                name="shop_order_due",
                condition=models.Q(state=machines.PENDING_CONFIRMATION),
            ),
            models.Index(fields=["buyer"], name="shop_order_unpaid", condition=models.Q(state__in=machines.UNPAID)),
        ]

    def __str__(self) -> str:
        return f"order {self.number}"


class OrderTransition(models.Model):
    """A change of an order's state, written by a trigger."""

    uncaptured = "a history itself; the order's own change has the state"

    id = models.BigAutoField(primary_key=True)
    order = models.ForeignKey(Order, models.CASCADE, related_name="transitions")
    source = models.TextField()
    target = models.TextField()
    at = models.DateTimeField(db_default=Now())
    actor = models.TextField(null=True, help_text="user:<id>; null for the system itself.")
    reason = models.TextField(blank=True, db_default="")

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


class Movement(models.Model):
    """A row of the stock ledger: a change of the stock of one product.

    Triggers keep both equal: a new movement changes the stock, and a new stock writes a movement.
    """

    uncaptured = "a log itself; the product's own change has the stock"

    class Reason(models.TextChoices):
        OPENING = "OPENING", "the initial stock of the product"
        CORRECTION = "CORRECTION", "the stock was set"
        ORDER = "ORDER", "ordered"
        EXPIRE = "EXPIRE", "released: the order was not confirmed in time"
        CANCEL = "CANCEL", "released: the order was cancelled"
        REJECT = "REJECT", "released: the payment was declined"
        END = "END", "released: staff ended the order"

    id = models.BigAutoField(primary_key=True)
    # No constraints: rows of both are never removed, and the checks would take a quarter of an order's time.
    product = models.ForeignKey(Product, models.DO_NOTHING, related_name="movements", db_constraint=False)
    order = models.ForeignKey(Order, models.DO_NOTHING, related_name="movements", null=True, db_constraint=False)
    delta = models.BigIntegerField()
    reason = models.TextField(choices=Reason)
    at = models.DateTimeField(db_default=Now())
    actor = models.TextField(null=True, help_text="user:<id>; null for the system itself.")

    class Meta:
        triggers = [
            pgtrigger.Trigger(
                name="move_stock",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=NEW_ROWS,
                condition=NOT_NESTED,
                declare=[("moved", "bigint")],
                func=TRIGGERS["move_stock"],
            ),
            pgtrigger.Protect(name="never_rewritten", operation=pgtrigger.Update | pgtrigger.Delete),
            pgtrigger.Trigger(
                name="never_emptied",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Truncate,
                func="RAISE EXCEPTION 'The ledger is never emptied.' USING ERRCODE = 'restrict_violation';",
            ),
        ]
        constraints = [models.CheckConstraint(name="shop_movement_moves", condition=~models.Q(delta=0))]

    def __str__(self) -> str:
        return f"{self.delta:+} {self.reason}"


class Payment(models.Model):
    """The payment of a confirmed order. Its id is the idempotency key of the charge at the gateway."""

    uncaptured = "it has the token of a card; the order's own change has the result"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.OneToOneField(Order, models.PROTECT, related_name="payment")
    token = models.TextField(
        blank=True, help_text="The gateway's token of the card; empty once the payment is decided."
    )
    amount = models.DecimalField(max_digits=24, decimal_places=2)
    charge = models.TextField(blank=True, db_default="", help_text="The gateway's own id of the charge.")
    asked = models.DateTimeField(db_default=Now())
    ending = models.DateTimeField(null=True, help_text="When staff began to end the order.")
    decided = models.DateTimeField(null=True)
    reason = models.TextField(blank=True, db_default="", help_text="Why it was declined.")

    class Meta:
        constraints = [
            models.CheckConstraint(name="shop_payment_amount", condition=models.Q(amount__range=(0, MAX_TOTAL))),
        ]

    def __str__(self) -> str:
        return f"payment of order {self.order_id}"


class CardTry(models.Model):
    """The number of recent attempts with cards, for one order or by one user (card_tries.py)."""

    uncaptured = "counts that are forgotten within the hour"

    key = models.TextField(primary_key=True)
    number = models.IntegerField()
    until = models.DateTimeField(db_index=True, help_text="When the count ends.")

    def __str__(self) -> str:
        return f"{self.number} until {self.until:%H:%M:%S}"


@capture("user_id", "state", "order_id", readers="user_id", soft_delete="deleted")
class Bag(Entity):
    """A shopping bag; each user has at most one open bag."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="bags")
    state = models.TextField(choices=machines.BAG.choices(), db_default=machines.OPEN)
    order = models.OneToOneField(
        Order, models.PROTECT, null=True, related_name="bag", help_text="The order of its contents."
    )

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("user"),
            *machines.BAG.guard(),
        ]
        constraints = [
            models.UniqueConstraint("user", name="shop_bag_open_once", condition=models.Q(deleted=None, state="OPEN")),
            machines.BAG.check("shop_bag_state"),
        ]

    def __str__(self) -> str:
        return f"bag of {self.user_id}"


class BagItemQuerySet(models.QuerySet["BagItem"]):
    """Filters of bag items."""

    def lines(self, user: AnyUser) -> list[dict[str, Any]]:
        """The lines with a product that the user may see, in the order in which they were added."""
        items = self.filter(is_visible(user, "product__")).select_related("product").order_by("added", "product")
        return [
            {
                "product": item.product.pk,
                "number": item.product.number,
                "name": item.product.name,
                "price": Decimal(item.product.price),
                "quantity": item.quantity,
                "available": item.product.stock if item.product.state == machines.ON_SALE else 0,
            }
            for item in items
        ]


class BagItem(models.Model):
    """A quantity of one product in a bag."""

    uncaptured = "private: the intentions of a user"

    pk = models.CompositePrimaryKey("bag", "product")
    bag = models.ForeignKey(Bag, models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    quantity = models.BigIntegerField()
    added = models.DateTimeField(db_default=Now())

    objects = BagItemQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(name="shop_bag_item_some", condition=models.Q(quantity__gt=0))]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product_id}"
