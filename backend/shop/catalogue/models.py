"""Products of users, their tags, and the ledger of their stock."""

from decimal import Decimal
from typing import Self
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import OpClass
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now

from backend.entities.dependents import deletes, deletes_of_user
from backend.entities.folding import Fold, FoldedField, LabelField, NormalTextField, SortKey, fold_trigger
from backend.entities.models import BUMP_VERSION, AliveParent, Entity, EntityQuerySet, number_field
from backend.shop.catalogue import triggers
from backend.shop.states import machines
from lockstep import EVERYBODY, Visibility, capture
from lockstep.rest.users import AnyUser

# Limits of input. The database limits the stock to MAX_STORED_STOCK, the largest integer of JavaScript, so far above
# MAX_STOCK that the stock of a cancelled order can always be released.
MAX_NAME, MAX_DESCRIPTION, MAX_TAG = 200, 20_000, 50
MAX_STOCK, MAX_STORED_STOCK = 1_000_000_000_000, 2**53 - 1
# The largest value of the column. Without an upper bound NaN passes: PostgreSQL sorts it above every number.
MAX_PRICE = Decimal("9999999999.99")
ON_SALE_OR_OWN = Visibility("state", machines.ON_SALE, owner="owner_id")  # as is_visible, for readers of changes


def is_visible(user: AnyUser, product: str = "") -> models.Q:
    """The condition that a user may see a product: not deleted, and on sale or the user's own. `product`: its path.

    The same rule is in sql/products.sql, in orders/sql/orders.sql (place), and in ON_SALE_OR_OWN for its changes.
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
            *triggers.PRODUCT,
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
            *deletes(("shop_producttag", "tag_id"), first=triggers.BODIES["lock_tagged"]),
            *triggers.TAG,
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
            *triggers.PRODUCT_TAG,
        ]
        constraints = [
            models.UniqueConstraint("product", "tag", name="shop_product_tag_once", condition=models.Q(deleted=None)),
        ]
        indexes = [models.Index(fields=["tag", "-product"], name="shop_tagged", condition=models.Q(deleted=None))]

    def __str__(self) -> str:
        return f"{self.product_id} {self.tag_id}"


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
    order = models.ForeignKey("shop.Order", models.DO_NOTHING, related_name="movements", null=True, db_constraint=False)
    delta = models.BigIntegerField()
    reason = models.TextField(choices=Reason)
    at = models.DateTimeField(db_default=Now())
    actor = models.TextField(null=True, help_text="user:<id>; null for the system itself.")

    class Meta:
        triggers = triggers.MOVEMENT
        constraints = [models.CheckConstraint(name="shop_movement_moves", condition=~models.Q(delta=0))]

    def __str__(self) -> str:
        return f"{self.delta:+} {self.reason}"
