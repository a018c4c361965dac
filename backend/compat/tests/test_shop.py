"""The shop's predecessor's routes, literally."""

import pytest

from backend.shop.models import Movement, Order, Product
from tests.support import Cast

pytestmark = pytest.mark.django_db

PRODUCT, ORDER = "/api/product/", "/api/order/"
RED_BULL = {"name": "RedBull", "price": "2.2", "stock": "100"}


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [one["name"] for one in answer.json()["results"]]


@pytest.mark.parametrize("slash", ["", "/"])
def test_products_are_made_read_replaced_and_deleted(cast: Cast, slash: str):
    made = cast.owner.post(PRODUCT.rstrip("/") + slash, RED_BULL)
    assert made.status_code == 201
    number = Product.objects.get().number
    assert made.json() == {"id": number, "name": "RedBull", "price": "2.20", "stock": 100}
    path = f"{PRODUCT}{number}{slash}"
    assert cast.colleague.get(path).json() == made.json()
    replaced = cast.owner.put(path, {"name": "Bull", "price": "3.00", "stock": 5})
    assert (replaced.status_code, replaced.json()["stock"]) == (200, 5)
    assert cast.colleague.put(path, RED_BULL).status_code == 403
    assert cast.colleague.delete(path).status_code == 403
    assert cast.owner.put(path, {"name": "Bull"}).status_code == 400
    assert cast.owner.delete(path).status_code == 204
    assert cast.owner.get(path).status_code == 404


def test_the_list_has_limit_offset_and_filters(cast: Cast):
    for n in range(7):
        cast.owner.post(PRODUCT, {"name": f"{'Yellow' if n % 2 else 'Red'} {n}", "price": n, "stock": 1})
    first = cast.colleague.get(f"{PRODUCT}?limit=5")
    assert (first.json()["count"], len(names(first))) == (7, 5)
    assert names(cast.colleague.get(f"{PRODUCT}?limit=5&offset=5")) == ["Yellow 1", "Red 0"]
    for name in ("keyword", "keywords"):
        assert names(cast.colleague.get(f"{PRODUCT}?max_price=3.5&{name}=yellow")) == ["Yellow 3", "Yellow 1"]
    assert names(cast.colleague.get(f"{PRODUCT}?keyword=%25")) == []


def test_an_order_is_final_or_completely_declined(cast: Cast):
    first, second = (cast.owner.post(PRODUCT, RED_BULL | {"stock": 20}).json()["id"] for _ in range(2))
    body = {"products": [{"id": first, "quantity": 15}, {"id": str(second), "quantity": 13}]}
    placed = cast.colleague.post(ORDER, body)
    assert placed.status_code == 201
    order = Order.objects.get()
    assert placed.json().items() >= {"id": order.number, "state": "ACCEPTED", "total": "61.60"}.items()
    assert {(line["id"], line["quantity"]) for line in placed.json()["products"]} == {(first, 15), (second, 13)}
    declined = cast.colleague.post(ORDER, body)
    assert declined.status_code == 409
    assert declined.json()["type"] == "/problems/insufficient-stock"
    assert [error["field"] for error in declined.json()["errors"]] == ["products.0", "products.1"]
    assert cast.colleague.post(ORDER, {"products": [{"id": 999_999, "quantity": 1}]}).json()["errors"] == [
        {"field": "products", "detail": "There is no product 999999."}
    ]
    assert set(Product.objects.values_list("number", "stock")) == {(first, 5), (second, 7)}
    assert Movement.objects.filter(order=order.pk).count() == 2
    assert [one["id"] for one in cast.colleague.get(ORDER).json()["results"]] == [order.number]
    assert cast.owner.get(ORDER).json()["results"] == []


def test_orders_without_payment_are_a_choice(cast: Cast, settings):
    made = cast.owner.post(PRODUCT, RED_BULL).json()
    settings.ORDERS_WITHOUT_PAYMENT = False
    refused = cast.colleague.post(ORDER, {"products": [{"id": made["id"], "quantity": 1}]})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    assert "/api/v1/orders/" in refused.json()["detail"]
    assert not Order.objects.exists()
    assert cast.colleague.get(ORDER).status_code == 200
