"""The shop in the admin: products and tags to edit, orders and the ledger to view."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html_join

from backend.entities.admin_actors import ActorColumnAdmin, ActorColumnInline
from backend.entities.admin_lists import BoundedListAdmin
from backend.entities.admin_site import EntityAdmin, ReadOnly, admin_site
from backend.shop.catalogue import actions as catalogue
from backend.shop.models import Movement, Order, OrderTransition, Product, ProductTag, Tag
from backend.shop.payments import actions as payments
from backend.shop.payments.previews import CONFIRMED, payment_sentences, preview_endings
from backend.shop.states import machines
from backend.shop.states.diagrams import HEIGHT, WIDTH, drawing
from lockstep.rest.errors import Conflict

MAX_MOVEMENTS = 20  # on the page of a product
MAX_ENDED = 100  # orders that are ended at once


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


class TransitionInline(ReadOnly, ActorColumnInline):
    model = OrderTransition
    fields = readonly_fields = ("at", "source", "target", "actor_name", "reason")
    parent_column = "order_id"
    ordering = ("id",)
    extra = 0


class MovementInline(ReadOnly, ActorColumnInline):
    model = Movement
    fields = readonly_fields = ("at", "product", "delta", "reason", "actor_name")
    parent_column = "order_id"
    ordering = ("id",)
    extra = 0
    verbose_name_plural = "Ledger: movements of stock"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Movement]:
        return super().get_queryset(request).select_related("product")


@admin.register(Order, site=admin_site)
class OrderAdmin(ReadOnly, EntityAdmin):
    """Orders: where each is, its lines, its payment and its ledger; and how staff end one that cannot be paid."""

    fields = (
        "where",
        "number",
        "buyer",
        "reason",
        "line_table",
        "payment_state",
        "confirm_until",
        "created",
        "updated",
    )
    readonly_fields = ("where", "line_table", "payment_state")
    change_form_template = "admin/shop/order/change_form.html"
    list_display = ("number", "buyer", "state", "total", "created", "reason")
    list_filter = ("state",)
    list_select_related = ("buyer",)
    search_fields = ("number", "buyer__username")
    ordering = ("-id",)
    inlines = (TransitionInline, MovementInline)
    actions = ("end_orders", "end_orders_unanswered")

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *self.readonly_fields)

    @admin.display(description="State")
    def where(self, order: Order) -> str:
        """The state diagram with the order's way through it."""
        way = [one.target for one in order.history]
        before = f", and was {', then '.join(way[:-1])}" if way[:-1] else ""
        context = {
            "drawing": drawing(machines.ORDER, way),
            "half_width": WIDTH // 2,
            "half_height": HEIGHT // 2 + 5,
            "sentence": f"It is {order.state}{before}.",
        }
        return render_to_string("admin/shop/order/diagram.html", context)

    @admin.display(description="Lines")
    def line_table(self, order: Order) -> str:
        """The lines as a table."""
        lines = [{**line, "amount": Decimal(str(line["price"])) * line["quantity"]} for line in order.lines]
        return render_to_string("admin/shop/order/lines.html", {"lines": lines, "total": order.total})

    @admin.display(description="Payment")
    def payment_state(self, order: Order) -> str:
        """How the payment stands."""
        return format_html_join("", "<div>{}</div>", ((sentence,) for sentence in payment_sentences(order)))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the base's
        """The page, with what staff may do in the order's state."""
        order = kwargs.get("obj")
        may_end = order is not None and order.state == CONFIRMED and self.has_end_permission(request)
        offered = [(name, words) for name, words in self.get_action_choices(request) if name.startswith("end_")]
        return super().render_change_form(request, context | {"endings": offered if may_end else []}, *args, **kwargs)

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Staff who may change orders; there is no form that changes one."""
        return request.user.has_perm("shop.change_order")

    @admin.action(permissions=["end"], description="End: the payment cannot be decided")
    def end_orders(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Lets a worker end confirmed orders; those that the gateway has charged are accepted."""
        success = "a worker looks its charge up, and ends it if it was not charged."
        return self._end(request, queryset, payments.end_order, success)

    @admin.action(permissions=["end"], description="End without an answer of the payment gateway")
    def end_orders_unanswered(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Rejects orders that staff are ending although the gateway does not tell whether they were charged."""
        success = "rejected, its stock is back. A charge that shows later is a dead letter of payments: refund it then."
        return self._end(request, queryset, payments.end_order_unanswered, success)

    def _end(
        self, request: HttpRequest, queryset: QuerySet[Order], end: Callable[..., None], success: str
    ) -> HttpResponse | None:
        """Ends the orders once that is confirmed, on a page that says what it will do."""
        orders = list(queryset[: MAX_ENDED + 1])
        if len(orders) > MAX_ENDED:
            self.message_user(request, f"At most {MAX_ENDED} orders can be ended at once.", messages.ERROR)
            return None
        pages = [reverse("admin:shop_order_change", args=[order.pk]) for order in orders]
        back = pages[0] if len(pages) == 1 else reverse("admin:shop_order_changelist")
        if request.POST.get("confirmed") != "yes":
            previews = preview_endings(orders, unanswered=end is payments.end_order_unanswered)
            action = request.POST.get("action", "")
            context = {
                **self.admin_site.each_context(request),
                "title": "End orders",
                "action": action,
                "verb": dict(self.get_action_choices(request)).get(action, "End"),
                "previews": previews,
                "is_possible": any(preview.is_possible for preview in previews),
                "cancel_address": back,
            }
            return TemplateResponse(request, "admin/shop/order/end.html", context)
        for order in orders:
            try:
                end(actor=f"user:{request.user.pk}", order=order)
            except Conflict as error:
                self.message_user(request, f"Order {order.number}: {error}", messages.ERROR)
            else:
                self.message_user(request, f"Order {order.number}: {success}", messages.SUCCESS)
        return HttpResponseRedirect(back)


@admin.register(Movement, site=admin_site)
class MovementAdmin(ReadOnly, BoundedListAdmin, ActorColumnAdmin):
    """The whole ledger."""

    fields = readonly_fields = ("at", "product", "delta", "reason", "order", "actor_name")
    list_display = ("at", "product", "delta", "reason", "order", "actor_name")
    list_filter = ("reason",)
    list_select_related = ("product", "order")
    search_fields = ("product__folded_name", "=product__number", "=order__number")
    ordering = ("-id",)
