"""What hangs from a deleted row is deleted with it, whatever deletes it: links, and the products of an account."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from backend.shop.catalogue.actions import add_tag, delete_tag, remove_tag
from backend.shop.conftest import MakeProduct
from backend.shop.models import Product, ProductTag, Tag
from backend.shop.orders.actions import Line, place_order
from lockstep.changes.models import LoggedChange
from lockstep.rest.errors import DomainError, NotFound
from tests.support import Cast, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db


def linked(product: MakeProduct) -> Product:
    thing = product("thing")
    add_tag(actor="", product=thing, tag=Tag.objects.create(name="red"))
    return thing


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "delete",
    [
        lambda cast: Product.objects.update(deleted="2026-01-01T00:00Z"),
        lambda cast: Tag.objects.update(deleted="2026-01-01T00:00Z"),
        lambda cast: cast.owner.delete_account(),
        lambda cast: execute("UPDATE accounts_user SET deleted = now() WHERE username = 'owner'"),
    ],
    ids=["product", "tag", "account", "account in psql"],
)
def test_links_are_deleted_with_their_product_or_tag(cast: Cast, product: MakeProduct, delete: Callable[[Cast], Any]):
    linked(product)
    delete(cast)
    assert ProductTag.objects.get().deleted is not None
    assert LoggedChange.objects.filter(model="shop.producttag", kind="deleted").count() == 1
    assert set(Product.objects.alive().values_list("name", flat=True)) <= {"thing"}
    assert not any(one.tags for one in Product.objects.alive())


def test_products_are_deleted_with_their_owner_in_one_transaction(cast: Cast, product: MakeProduct):
    thing, other = product("thing"), product("other", owner=cast.colleague.user)
    assert cast.owner.delete_account().status_code == 204
    for key, status in ((thing.pk, 404), (other.pk, 200)):
        assert cast.outsider.get(f"/api/v1/products/{key}/").status_code == status
    order = {"lines": [{"product": str(thing.pk), "quantity": 1}]}
    assert cast.outsider.post("/api/v1/orders/", order).status_code == 400


def beside(database: psycopg.Connection, statement: str, parameters: list[Any], then: Callable[[], Any]) -> Any:
    """The outcome of what waits for a transaction that executed the statement: a value, or the name of an error."""

    def run() -> Any:
        try:
            return then()
        except (DomainError, Exception) as error:
            return type(error).__name__
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute(statement, parameters)
            outcome = pool.submit(run)
            eventually(lambda: any_lock_waiter(database))
        return outcome.result()


@pytest.mark.django_db(transaction=True)
def test_an_order_during_the_deletion_of_the_owner_is_refused(
    cast: Cast, product: MakeProduct, database: psycopg.Connection
):
    thing, buyer = product("thing"), cast.colleague.user
    outcome = beside(
        database,
        "UPDATE accounts_user SET deleted = now() WHERE id = %s",
        [cast.owner.user.pk],
        lambda: place_order(actor="", buyer=buyer, lines=[Line(thing.pk, 1)]),
    )
    assert outcome == "UnknownProducts"
    assert Product.objects.get().stock == 10


@pytest.mark.django_db(transaction=True)
def test_a_link_inserted_during_the_deletion_of_its_product_is_deleted(
    cast: Cast, product: MakeProduct, database: psycopg.Connection
):
    thing, tag = product("thing"), Tag.objects.create(name="red")
    insert = "INSERT INTO shop_producttag (product_id, tag_id) VALUES (%s, %s)"
    outcome = beside(
        database,
        insert,
        [thing.pk, tag.pk],
        lambda: Product.objects.filter(pk=thing.pk).update(deleted="2026-01-01T00:00Z"),
    )
    assert outcome == 1
    assert ProductTag.objects.get().deleted is not None


@pytest.mark.django_db(transaction=True)
def test_link_to_a_product_that_is_being_deleted_is_refused(
    cast: Cast, product: MakeProduct, database: psycopg.Connection
):
    thing, tag = product("thing"), Tag.objects.create(name="red")
    delete = "UPDATE shop_product SET deleted = now() WHERE id = %s"
    outcome = beside(
        database, delete, [thing.pk], lambda: ProductTag.objects.bulk_create([ProductTag(product=thing, tag=tag)])
    )
    assert outcome == "IntegrityError"
    assert not ProductTag.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("delete", [delete_tag, None], ids=["by staff", "in psql"])
def test_tag_deletion_and_tag_removal_lock_in_the_same_order(
    cast: Cast, product: MakeProduct, database: psycopg.Connection, delete: Callable[..., None] | None
):
    """The other transaction holds the product and goes on to its link, which is free: the deletion waits for both."""
    thing = linked(product)
    tag = Tag.objects.get()

    def run() -> None:
        try:
            if delete:
                delete(actor="", tag=tag)
            else:
                execute("UPDATE shop_tag SET deleted = now()")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("SELECT FROM shop_product WHERE id = %s FOR NO KEY UPDATE", [thing.pk])
            deletion = pool.submit(run)
            eventually(lambda: any_lock_waiter(database))
            database.execute("UPDATE shop_producttag SET deleted = now() WHERE product_id = %s", [thing.pk])
        deletion.result()
    assert Tag.objects.get().deleted is not None


def test_tags_are_added_and_removed_by_the_current_owner(cast: Cast, product: MakeProduct):
    thing, tag = linked(product), Tag.objects.get()
    Product.objects.update(owner=cast.colleague.user)
    for act in (add_tag, remove_tag):
        with pytest.raises(NotFound):
            act(actor="", product=thing, tag=tag)
    assert Product.objects.get().tags == ["red"]
