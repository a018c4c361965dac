"""One shop: products that belong to users, their stock as a ledger, bags and orders."""

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

from lockstep.changes.capture import BOTH_ROWS, EVERYBODY, NEW_ROWS, OLD_ROWS, Visibility, capture
from lockstep.changes.dependents import deletes, deletes_of_user
from lockstep.changes.entities import TOUCH, AliveParent, Entity, EntityQuerySet, Somebody, number_field
from lockstep.changes.folding import Fold, FoldedField, LabelField, NormalTextField, SortKey, fold_trigger
from lockstep.changes.sql_file import load
from lockstep.shop import machines

MOST_LINES = 100  # of an order, and so of a bag
# What people may set. The database refuses a stock beyond MAX_STORED_STOCK: all that JavaScript can count, and so far
# above MOST_STOCK that what a cancelled order gives back always fits.
MAX_NAME, MAX_DESCRIPTION, MAX_TAG = 200, 20_000, 50
MOST_STOCK, MAX_STORED_STOCK = 1_000_000_000_000, 2**53 - 1
MOST_OF_ONE = 1_000_000  # units of one product in an order
# The largest values of their columns. Without an upper bound NaN passes: PostgreSQL sorts it above every number.
MOST_PRICE, MOST_TOTAL = Decimal("9999999999.99"), Decimal("9999999999999999999999.99")
# pgtrigger leaves these untyped.
OF_WORDS: Any = pgtrigger.UpdateOf("name", "description", "deleted")  # type: ignore[no-untyped-call]
OF_NAME: Any = pgtrigger.UpdateOf("name", "deleted")  # type: ignore[no-untyped-call]
TRIGGERS = load(Path(__file__).parent / "sql" / "triggers.sql")
ON_SALE_OR_OWN = Visibility("state", machines.ON_SALE, owner="owner_id")  # is_visible, for readers of changes
# Not by one of our triggers. These run with their owner's rights, and may put triggers on the ledger; a session's own
# trigger does not.
BY_THEMSELVES = pgtrigger.Condition(
    "pg_trigger_depth() = 0 OR NOT has_table_privilege('shop_movement'::regclass, 'TRIGGER')"
)


def is_visible(user: Somebody, product: str = "") -> models.Q:
    """That a user may see a product: it is not deleted, and on sale or the user's own. `product` is a path to it.

    The same is said in sql/products.sql, sql/orders.sql (place), and to readers of its changes in Product.Meta.
    """
    on_sale = models.Q(**{f"{product}state": machines.ON_SALE})
    return models.Q(**{f"{product}deleted": None}) & (on_sale | models.Q(**{f"{product}owner": user}))


class ProductQuerySet(EntityQuerySet["Product"]):
    """Reads of products."""

    def visible_to(self, user: Somebody) -> Self:
        """What is on sale, and all of one's own."""
        return self.filter(is_visible(user))

    def of(self, owner: Somebody) -> Self:
        """Those of one user."""
        return self.filter(owner=owner)

    def tagged(self, tag: str) -> Self:
        """Those with this tag, by its id, or by its name in any equal spelling."""
        links = ProductTag.objects.alive().filter(tag__in=Tag.objects.alive().called(tag))
        return self.filter(pk__in=links.values("product"))


class Product(Entity):
    """Something that is sold. Its stock is what the movements of the ledger sum to: the database sees to that."""

    number = number_field("shop_product_number")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="products")
    name = NormalTextField(validators=[MaxLengthValidator(MAX_NAME)])
    folded_name = FoldedField(help_text="The name, as it is searched.")
    description = NormalTextField(blank=True, db_default="", validators=[MaxLengthValidator(MAX_DESCRIPTION)])
    price = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(0)])
    stock = models.BigIntegerField(db_default=0, validators=[MinValueValidator(0), MaxValueValidator(MOST_STOCK)])
    state = models.TextField(choices=machines.PRODUCT.choices(), db_default=machines.ON_SALE)
    # The names of its tags by the alphabet: ProductTag says which; the database keeps them here for whoever shows it.
    tags = ArrayField(models.TextField(), editable=False, db_default=[])

    objects = ProductQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture(
                "number",
                "owner_id",
                "name",
                "description",
                "price",
                "stock",
                "state",
                "tags",
                readers=ON_SALE_OR_OWN,
            ),
            TOUCH,
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
                condition=BY_THEMSELVES,
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
            # By row: a statement's trigger would be asked at every sale, this one when words change.
            pgtrigger.Trigger(
                name="index_words",
                when=pgtrigger.After,
                operation=OF_WORDS,
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
                condition=models.Q(price__range=(0, MOST_PRICE)),
                violation_error_message=f"The price must be from 0 to {MOST_PRICE}.",
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


class Seller(get_user_model()):  # type: ignore[misc]  # the project's user, whichever model that is
    """A user as the owner of products: they are deleted with the account, in its transaction."""

    uncaptured = "a user, whom the accounts capture"

    class Meta:
        proxy = True
        default_permissions = ()
        triggers = deletes_of_user(("shop_product", "owner_id"))


class TagQuerySet(EntityQuerySet["Tag"]):
    """Reads of tags. Names are compared folded, as their indexes have them."""

    def called(self, tag: str) -> Self:
        """The one with this id or this name, in any equal spelling. A name may look like an id: both are looked for."""
        named = models.Q(name__iexact=tag)
        try:
            return self.filter(named | models.Q(pk=UUID(tag)))
        except ValueError:
            return self.filter(named)

    def beginning(self, prefix: str) -> Self:
        """Those whose name begins so, in any equal spelling; with the `sort_key` of their names."""
        return self.annotate(sort_key=SortKey("name")).filter(name__istartswith=prefix)


class Tag(Entity):
    """A word that staff keep and owners put on their products."""

    name = LabelField(validators=[MaxLengthValidator(MAX_TAG)])
    description = NormalTextField(blank=True, db_default="", validators=[MaxLengthValidator(MAX_DESCRIPTION)])

    objects = TagQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("name", "description", readers=EVERYBODY),
            TOUCH,
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


class ProductTag(Entity):
    """That a product has a tag."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="links")
    tag = models.ForeignKey(Tag, models.CASCADE, related_name="links")

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("product_id", "tag_id"),  # for staff: others read the tags of a product that they may see
            TOUCH,
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
    """What a product is found by (search.py); written by the database whenever its words change."""

    uncaptured = "made of the product and its tags, which are captured"

    product = models.OneToOneField(Product, models.CASCADE, primary_key=True, related_name="+", db_constraint=False)
    document = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["document"], name="shop_search_document", fastupdate=False)]

    def __str__(self) -> str:
        return f"{self.product_id}"


class SearchWord(models.Model):
    """A word that was in some product; what a misspelt one is held against."""

    uncaptured = "made of products and tags, which are captured"

    word = models.TextField(primary_key=True)

    class Meta:
        # The key's own index for LIKE serves begun words.
        indexes = [GinIndex(OpClass("word", "gin_trgm_ops"), name="shop_search_word_like")]

    def __str__(self) -> str:
        return self.word


class UnlearntProduct(models.Model):
    """A product whose words a worker has still to look through."""

    uncaptured = "a list of work"

    product = models.OneToOneField(Product, models.CASCADE, primary_key=True, related_name="+", db_constraint=False)

    def __str__(self) -> str:
        return f"{self.product_id}"


class OrderQuerySet(EntityQuerySet["Order"]):
    """Reads of orders."""

    def of(self, buyer: Somebody) -> Self:
        """Those of one user."""
        return self.filter(buyer=buyer)

    def due(self) -> Self:
        """Those whose time to confirm is over."""
        return self.filter(state=machines.PENDING_CONFIRMATION, confirm_until__lte=Now())


class Order(Entity):
    """What somebody ordered, at the prices of that moment. Its lines never change, so they are a part of the row."""

    number = number_field("shop_order_number")
    # shop_order_of begins with it.
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="orders", db_index=False)
    state = models.TextField(choices=machines.ORDER.choices(), db_default=machines.PENDING_CONFIRMATION)
    lines = models.JSONField(help_text='[{"product", "number", "name", "price", "quantity"}], by product')
    total = models.DecimalField(max_digits=24, decimal_places=2)
    confirm_until = models.DateTimeField(null=True, help_text="Until when it can be confirmed.")
    reason = models.TextField(blank=True, db_default="", help_text="Why it is in its state, where that needs a word.")

    objects = OrderQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("number", "buyer_id", "state", "lines", "total", "confirm_until", "reason", readers="buyer_id"),
            TOUCH,
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
            models.CheckConstraint(name="shop_order_total", condition=models.Q(total__range=(0, MOST_TOTAL))),
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
    """One step of an order's life; written by the database at any change of its state."""

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
    """A row of the stock ledger: so much more, or less, of one product.

    Whoever writes one moves the stock, and whoever sets the stock writes one: either way both say the same.
    """

    uncaptured = "a log itself; the product's own change has the stock"

    class Reason(models.TextChoices):
        OPENING = "OPENING", "the stock that the product began with"
        CORRECTION = "CORRECTION", "somebody set the stock"
        ORDER = "ORDER", "ordered"
        EXPIRE = "EXPIRE", "back: the order was not confirmed in time"
        CANCEL = "CANCEL", "back: the order was cancelled"
        REJECT = "REJECT", "back: the payment was declined"
        END = "END", "back: staff ended the order"

    id = models.BigAutoField(primary_key=True)
    # No constraints: rows of either are never removed, and checking them would cost an order a quarter of its time.
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
                condition=BY_THEMSELVES,
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
    """How a confirmed order is paid: once, or not at all. Its id is what the gateway knows the charge by."""

    uncaptured = "what stands for a card is nobody's to see; the order's own change has what became of it"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.OneToOneField(Order, models.PROTECT, related_name="payment")
    token = models.TextField(blank=True, help_text="Stands for the card at the gateway; nothing once it is decided.")
    amount = models.DecimalField(max_digits=24, decimal_places=2)
    charge = models.TextField(blank=True, db_default="", help_text="The gateway's own id of the charge.")
    asked = models.DateTimeField(db_default=Now())
    ending = models.DateTimeField(null=True, help_text="Since when staff want no further charge, and the order to end.")
    decided = models.DateTimeField(null=True)
    reason = models.TextField(blank=True, db_default="", help_text="Why it was declined.")

    class Meta:
        constraints = [
            models.CheckConstraint(name="shop_payment_amount", condition=models.Q(amount__range=(0, MOST_TOTAL))),
        ]

    def __str__(self) -> str:
        return f"payment of order {self.order_id}"


class CardTry(models.Model):
    """How many cards were tried lately, for one order and by one user (card_tries.py)."""

    uncaptured = "counts that are forgotten within the hour"

    key = models.TextField(primary_key=True)
    number = models.IntegerField()
    until = models.DateTimeField(db_index=True, help_text="When it is forgotten.")

    def __str__(self) -> str:
        return f"{self.number} until {self.until:%H:%M:%S}"


class Bag(Entity):
    """What somebody means to order; everybody has one open bag at most."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="bags")
    state = models.TextField(choices=machines.BAG.choices(), db_default=machines.OPEN)
    order = models.OneToOneField(Order, models.PROTECT, null=True, related_name="bag", help_text="What became of it.")

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("user_id", "state", "order_id", readers="user_id"),
            TOUCH,
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
    """Reads of what is in bags."""

    def lines(self, user: Somebody) -> list[dict[str, Any]]:
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
    """So many of one product in a bag."""

    uncaptured = "what somebody thinks of buying is nobody else's matter"

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
