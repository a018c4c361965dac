"""The stock equals the sum of the ledger for every writer, and never goes below zero."""

from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum

from backend.shop.catalogue.ledger import check_ledger
from backend.shop.conftest import MakeProduct
from backend.shop.models import Movement, Product
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.models import LoggedChange
from tests.support import Cast, without_triggers

pytestmark = pytest.mark.django_db


def ledger(product: Product) -> list[tuple[int, str]]:
    return list(Movement.objects.filter(product=product).order_by("id").values_list("delta", "reason"))


def stock(product: Product) -> int:
    product.refresh_from_db()
    summed = Movement.objects.filter(product=product).aggregate(sum=Sum("delta", default=0))["sum"]
    assert product.stock == summed
    return product.stock


def test_the_initial_stock_of_a_product_is_a_movement(product: MakeProduct):
    made = product(stock=10)
    assert (stock(made), ledger(made)) == (10, [(10, "OPENING")])
    empty = product(stock=0)
    assert (stock(empty), ledger(empty)) == (0, [])


def test_setting_the_stock_writes_the_ledger(product: MakeProduct, cast: Cast):
    first, second = product(stock=10), product(stock=5)
    with attributed_transaction(actor="user:someuser"):
        Product.objects.filter(pk=first.pk).update(stock=3)
    Product.objects.update(stock=F("stock") + 1)
    first.stock, second.stock = 7, 8
    Product.objects.bulk_update([first, second], ["stock"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_product SET stock = 0 WHERE id = %s", [first.pk])
    assert ledger(first) == [
        (10, "OPENING"),
        (-7, "CORRECTION"),
        (1, "CORRECTION"),
        (3, "CORRECTION"),
        (-7, "CORRECTION"),
    ]
    assert (stock(first), stock(second)) == (0, 8)
    assert Movement.objects.filter(product=first, delta=-7).order_by("id")[0].actor == "user:someuser"


def test_a_movement_changes_the_stock(product: MakeProduct):
    first, second = product(stock=10), product(stock=5)
    reason = Movement.Reason.CORRECTION
    deltas = [(first, 3), (second, -5), (first, -1)]
    Movement.objects.bulk_create([Movement(product=one, delta=delta, reason=reason) for one, delta in deltas])
    assert (stock(first), stock(second)) == (12, 0)
    changes = LoggedChange.objects.filter(object_id=str(first.pk), kind="updated")
    assert [change.after["stock"] for change in changes] == [12]


@pytest.mark.parametrize("by", ["the stock", "the ledger"])
def test_the_stock_never_goes_below_zero(product: MakeProduct, by: str):
    made = product(stock=2)
    with pytest.raises(IntegrityError), transaction.atomic():
        if by == "the stock":
            Product.objects.filter(pk=made.pk).update(stock=F("stock") - 3)
        else:
            Movement.objects.create(product=made, delta=-3, reason=Movement.Reason.CORRECTION)
    assert stock(made) == 2


def test_changes_of_other_columns_write_no_movement(product: MakeProduct):
    made = product()
    Product.objects.filter(pk=made.pk).update(name="another name")
    assert ledger(made) == [(10, "OPENING")]


def test_audit_names_products_that_differ_from_their_ledger(product: MakeProduct):
    made = product(stock=10)
    assert (check_ledger().objects, check_ledger().differing) == (1, [])
    with connection.cursor() as cursor, without_triggers(cursor, "shop_product"):
        cursor.execute("UPDATE shop_product SET stock = 11")
    assert check_ledger().differing == [f"product {made.number}: stock 11, ledger 10"]


@pytest.mark.parametrize("statement", ["UPDATE shop_movement SET delta = 99", "DELETE FROM shop_movement"])
def test_the_ledger_is_never_rewritten(product: MakeProduct, statement: str):
    made = product()
    with pytest.raises(Exception, match="pgtrigger"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert stock(made) == 10


def test_the_ledger_is_never_emptied(product: MakeProduct):
    made = product()
    with pytest.raises(Exception, match="never emptied"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE shop_movement")
    assert stock(made) == 10


def test_a_movement_needs_a_product(product: MakeProduct):
    """Otherwise a later product under its id would have a ledger that differs from its stock."""
    made = product()
    with pytest.raises(IntegrityError, match="needs a product"), transaction.atomic():
        Movement.objects.bulk_create(
            [Movement(product_id=key, delta=5, reason=Movement.Reason.CORRECTION) for key in (made.pk, uuid4())]
        )
    assert stock(made) == 10


def test_a_removed_row_has_an_empty_ledger_and_its_id_can_be_reused(product: MakeProduct):
    made = product(stock=10)
    Product.objects.filter(pk=made.pk).delete()
    assert ledger(made) == [(10, "OPENING"), (-10, "CORRECTION")]
    again = product(id=made.pk, stock=3)
    assert stock(again) == 3


def test_another_key_is_another_product(product: MakeProduct):
    made = product(stock=10)
    other = uuid4()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_product SET id = %s, stock = 4", [other])
    assert ledger(made) == [(10, "OPENING"), (-10, "CORRECTION")]
    assert stock(Product.objects.get(pk=other)) == 4


def test_truncation_closes_every_ledger(cast: Cast, product: MakeProduct):
    made = product(stock=10)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE shop_product CASCADE")
    assert ledger(made) == [(10, "OPENING"), (-10, "CORRECTION")]
