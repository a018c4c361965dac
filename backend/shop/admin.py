"""The shop in the admin: products and tags to edit, orders and the ledger to view."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join

from backend.entities.admin_site import EntityAdmin, ReadOnly, admin_site
from backend.shop.catalogue import actions as catalogue
from backend.shop.models import Movement, Order, OrderTransition, Product, ProductTag, Tag
from backend.shop.payments import actions as payments
from lockstep.rest.errors import Conflict

MAX_MOVEMENTS = 20  # on the page of a product


class ProductTagInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # it takes none at run time
    model = ProductTag
    fields = ("tag",)
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProductTag]:
        return super().get_queryset(request).filter(deleted=None)


@admin.register(Product, site=admin_site)
class ProductAdmin(EntityAdmin):
    """Products; a new stock is a correction in the ledger."""

    one_line = ("name",)
    list_display = ("number", "name", "owner", "price", "stock", "state", "updated")
    list_filter = ("state",)
    list_select_related = ("owner",)
    search_fields = ("folded_name", "description")
    raw_id_fields = ("owner",)
    ordering = ("-id",)
    inlines = (ProductTagInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *(["owner", "ledger"] if obj else []))

    def get_exclude(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return () if obj else ("state",)  # a new product is on sale

    def consequences(self, obj: Product) -> list[str]:
        """The effects on tags and orders."""
        return ["It is no longer on sale, and its tags are removed. Its orders are not affected."]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        for product in queryset:
            catalogue.delete_product(actor=f"user:{request.user.pk}", product=product)

    @admin.display(description="Latest movements")
    def ledger(self, product: Product) -> str:
        """The end of the product's ledger."""
        latest = product.movements.order_by("-id")[:MAX_MOVEMENTS]
        rows = [(f"{one.at:%Y-%m-%d %H:%M}", f"{one.delta:+,}", one.get_reason_display()) for one in latest]
        return format_html_join("", "<div>{} · {} · {}</div>", rows)


@admin.register(Tag, site=admin_site)
class TagAdmin(EntityAdmin):
    """Tags; deleting one removes it from all products."""

    made_by_database = ("id", "created", "updated")
    one_line = ("name",)
    list_display = ("name", "description", "updated")
    search_fields = ("name",)
    ordering = ("-id",)

    def consequences(self, obj: Tag) -> list[str]:
        """The number of products that lose the tag."""
        products = obj.links.filter(deleted=None).count()
        return [f"It is removed from {products:,} product{'' if products == 1 else 's'}."] if products else []

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Tag]) -> None:
        for tag in queryset:
            catalogue.delete_tag(actor=f"user:{request.user.pk}", tag=tag)


class TransitionInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = OrderTransition
    fields = readonly_fields = ("at", "source", "target", "actor", "reason")
    ordering = ("id",)
    extra = 0


class MovementInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = Movement
    fields = readonly_fields = ("at", "product", "delta", "reason", "actor")
    ordering = ("id",)
    extra = 0


@admin.register(Order, site=admin_site)
class OrderAdmin(ReadOnly, EntityAdmin):
    list_display = ("number", "buyer", "state", "total", "created", "reason")
    list_filter = ("state",)
    list_select_related = ("buyer",)
    search_fields = ("number", "buyer__username")
    ordering = ("-id",)
    inlines = (TransitionInline, MovementInline)
    actions = ("end_orders", "end_orders_unanswered")

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Staff who may change orders; there is no form that changes one."""
        return request.user.has_perm("shop.change_order")

    @admin.action(permissions=["end"], description="End: the payment cannot be decided")
    def end_orders(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Lets a worker end confirmed orders; those that the gateway has charged are accepted."""
        success = "a worker looks its charge up, and ends it if it was not charged."
        self._end(request, queryset, payments.end_order, success)

    @admin.action(permissions=["end"], description="End without an answer of the payment gateway")
    def end_orders_unanswered(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Rejects orders that staff are ending although the gateway does not tell whether they were charged."""
        success = "rejected, its stock is back. A charge that shows later is a dead letter of payments: refund it then."
        self._end(request, queryset, payments.end_order_unanswered, success)

    def _end(self, request: HttpRequest, orders: QuerySet[Order], end: Callable[..., None], success: str) -> None:
        for order in orders:
            try:
                end(actor=f"user:{request.user.pk}", order=order)
            except Conflict as error:
                self.message_user(request, f"Order {order.number}: {error}", messages.ERROR)
            else:
                self.message_user(request, f"Order {order.number}: {success}", messages.SUCCESS)


@admin.register(Movement, site=admin_site)
class MovementAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """The whole ledger."""

    list_display = ("at", "product", "delta", "reason", "order", "actor")
    list_filter = ("reason",)
    list_select_related = ("product", "order")
    search_fields = ("product__folded_name", "=product__number", "=order__number")
    ordering = ("-id",)
    show_full_result_count = False
