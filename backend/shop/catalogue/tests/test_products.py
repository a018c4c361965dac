"""Products, their tags, and the stores of their owners."""

import re
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from backend.shop.catalogue import reads
from backend.shop.conftest import MakeProduct
from backend.shop.models import Movement, Product, ProductTag, Tag
from lockstep.changes.models import LoggedChange
from lockstep.rest.paging import CursorParams
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

PRODUCTS, TAGS = "/api/v1/products/", "/api/v1/tags/"
CHEAP = b64encode(urlencode({"p": '["0.01", "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b"]'}).encode()).decode()
BICYCLE = {"name": "Red bicycle", "description": "Two wheels.", "price": "249.90", "stock": 12}


def create(person: Person, **changes: object):
    return person.post(PRODUCTS, BICYCLE | changes)


def patch(person: Person, key: object, headers: dict | None = None, **values: object):
    return person.client.patch(f"{PRODUCTS}{key}/", values, content_type="application/json", headers=headers)


def names(person: Person, path: str = PRODUCTS) -> list[str]:
    answer = person.get(path)
    assert answer.status_code == 200, answer.content
    return [one["name"] for one in answer.json()["results"]]


def tag(name: str = "red") -> Tag:
    return Tag.objects.create(name=name)


def test_a_new_product_is_on_sale_for_every_user(cast: Cast):
    answer = create(cast.owner)
    assert answer.status_code == 201
    made = answer.json()
    assert made.items() >= (BICYCLE | {"state": "ON_SALE", "tags": [], "owner": str(cast.owner.user.pk)}).items()
    for key in (made["id"], made["number"]):
        assert cast.outsider.get(f"{PRODUCTS}{key}/").json() == made
    assert LoggedChange.objects.get(model="shop.product").actor == f"user:{cast.owner.user.pk}"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"price": "-0.01"}, "price"),
        ({"price": "1.001"}, "price"),
        ({"price": "12345678901.00"}, "price"),
        ({"price": "NaN"}, "price"),
        ({"price": None}, "price"),
        ({"stock": -1}, "stock"),
        ({"stock": 10**13}, "stock"),
        ({"stock": 1.5}, "stock"),
        ({"owner_id": 1}, "owner_id"),
        ({"description": "x" * 20_001}, "description"),
    ],
)
def test_invalid_products_are_400(cast: Cast, changes: dict, field: str):
    answer = create(cast.owner, **changes)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_only_its_owner_changes_a_product(cast: Cast):
    made = create(cast.owner).json()
    changed = patch(cast.owner, made["id"], price="10.00", stock=3, description="")
    assert changed.status_code == 200
    assert changed.json().items() >= {"price": "10.00", "stock": 3, "description": "", "name": "Red bicycle"}.items()
    for other in (cast.colleague, cast.staff):
        assert patch(other, made["id"], price="0.01").status_code == 403
        assert other.delete(f"{PRODUCTS}{made['id']}/").status_code == 403
    assert Product.objects.get().price == 10
    assert list(Movement.objects.order_by("id").values_list("delta", flat=True)) == [12, -9]


def test_changing_nothing_is_no_error(cast: Cast):
    made = create(cast.owner).json()
    assert patch(cast.owner, made["id"]).json() == made


def test_the_second_of_two_writers_is_refused(cast: Cast):
    made = create(cast.owner)
    headers = {"if-match": made["ETag"]}
    assert patch(cast.owner, made.json()["id"], headers, price="10.00").status_code == 200
    assert patch(cast.owner, made.json()["id"], headers, price="11.00").status_code == 412


def test_a_product_off_sale_is_visible_to_its_owner_only(cast: Cast):
    made = create(cast.owner).json()
    assert patch(cast.owner, made["id"], state="OFF_SALE").json()["state"] == "OFF_SALE"
    assert cast.colleague.get(f"{PRODUCTS}{made['id']}/").status_code == 404
    assert cast.owner.get(f"{PRODUCTS}{made['id']}/").status_code == 200
    assert (names(cast.colleague), names(cast.owner)) == ([], ["Red bicycle"])
    assert patch(cast.owner, made["id"], state="ON_SALE").status_code == 200
    assert names(cast.colleague) == ["Red bicycle"]


def test_a_deleted_product_is_gone(cast: Cast):
    made = create(cast.owner).json()
    assert cast.owner.delete(f"{PRODUCTS}{made['id']}/").status_code == 204
    assert cast.owner.get(f"{PRODUCTS}{made['id']}/").status_code == 404
    assert patch(cast.owner, made["id"], price="1.00").status_code == 404
    assert names(cast.owner) == []


@pytest.mark.parametrize("backwards", [False, True])
def test_lengths_are_added_up_before_the_json_is_made_of_long_pages_only(*, backwards: bool):
    """Adding them up takes as long as a third of a usual page."""
    usual, longer = (reads.listing(CursorParams(None, backwards, limit)).statement for limit in (50, 51))
    assert ("octet_length(p.description)" in usual, "octet_length(p.description)" in longer) == (False, True)


def test_the_list_is_paged_in_both_directions(cast: Cast, product: MakeProduct):
    for n in range(7):
        product(f"thing {n}")
    product("hidden", owner=cast.colleague.user)
    Product.objects.filter(name="hidden").update(state="OFF_SALE")
    whole = [f"thing {n}" for n in reversed(range(7))]
    seen, path, pages = [], f"{PRODUCTS}?limit=3", []
    while path:
        answer = cast.owner.get(path).json()
        pages.append([one["name"] for one in answer["results"]])
        seen, path, back = seen + pages[-1], answer["next"], answer["previous"]
    assert seen == whole
    assert [len(names) for names in pages] == [3, 3, 1]
    answer = cast.owner.get(back).json()
    assert [one["name"] for one in answer["results"]] == pages[1]
    assert [one["name"] for one in cast.owner.get(answer["next"]).json()["results"]] == pages[2]
    first = cast.owner.get(answer["previous"]).json()
    assert [one["name"] for one in first["results"]] == pages[0]
    assert first["previous"] is None
    assert cast.owner.get(f"{PRODUCTS}?cursor=cD0x").status_code == 400


def walked(person: Person, path: str) -> list[str]:
    """The names on all pages, there and, checked against that, back again."""
    there, back, last, following = [], [], path, path
    while following:
        answer = person.get(following).json()
        there += [one["name"] for one in answer["results"]]
        last, following = following, answer["next"]
    while last:
        answer = person.get(last).json()
        back = [one["name"] for one in answer["results"]] + back
        last = answer["previous"]
    assert back == there
    return there


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        ("", "gfedcba"),
        ("-created", "gfedcba"),
        ("created", "abcdefg"),
        ("price", "gbcdefa"),
        ("-price", "afedcbg"),
    ],
)
@pytest.mark.parametrize("store", [False, True])
def test_products_are_sorted_by_the_ordering(
    cast: Cast, product: MakeProduct, ordering: str, expected: str, store: bool
):
    """Equal prices, more of them than a page holds, are all there, once, on the way there and on the way back."""
    prices = {"a": "10.00", "g": "0.50"}
    for name in "abcdefg":
        product(name, price=prices.get(name, "9.00"))
    path = f"/api/v1/users/{cast.owner.user.pk}/products/" if store else PRODUCTS
    assert "".join(walked(cast.colleague, f"{path}?limit=2&ordering={ordering}")) == expected
    assert "".join(names(cast.colleague, f"{path}?offset=0&ordering={ordering}")) == expected


@pytest.mark.parametrize("path", [PRODUCTS, TAGS, "/api/v1/orders/"])
@pytest.mark.parametrize("ordering", ["stock", "-id", "owner__password", "price,created", "%00", "--price"])
def test_an_unknown_ordering_is_400(cast: Cast, path: str, ordering: str):
    answer = cast.owner.get(f"{path}?ordering={ordering}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "ordering")


@pytest.mark.parametrize(
    "place",
    ["", "x", "{}", "[]", '["1.00"]', '["x", "y"]', '["1.00", 7, 8]', '[null, "x"]', "[[], {}]", '["1e9", 10e99]'],
)
def test_invalid_cursor_is_400(cast: Cast, place: str):
    cursor = b64encode(urlencode({"p": place}).encode()).decode()
    answer = cast.owner.get(f"{PRODUCTS}?ordering=price&cursor={cursor}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")


def test_the_cheapest_are_found_by_their_index(cast: Cast, product: MakeProduct):
    product()
    with CaptureQueriesContext(connection) as captured:
        answer = cast.owner.get(f"{PRODUCTS}?ordering=price&limit=1&cursor={CHEAP}")
    assert answer.status_code == 200
    [statement] = [query["sql"] for query in captured if "ORDER BY" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # the table is too small for it to matter
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "shop_product_price_first" in plan
    assert "Index Cond: (ROW(price, id) > ROW(" in plan


def test_the_list_has_the_same_representation_as_the_object(cast: Cast, product: MakeProduct):
    made = product('a "thing" \u2603', description="two\nlines", price="0.10")
    ProductTag.objects.create(product=made, tag=tag())
    whole = cast.owner.get(f"{PRODUCTS}{made.pk}/").json()
    assert whole["tags"] == ["red"]
    assert whole["description"] == "two\nlines"
    assert cast.owner.get(PRODUCTS).json()["results"] == [whole]
    assert cast.owner.get(f"{PRODUCTS}?max_price=1").json()["results"] == [whole]
    assert cast.owner.get(f"{PRODUCTS}?offset=0").json()["results"] == [whole]


def test_list_is_filtered_newest_first(cast: Cast, product: MakeProduct):
    red = tag("Red")
    for n in range(4):
        made = product(f"thing {n}", price=n, owner=(cast.owner if n % 2 else cast.colleague).user)
        if n < 2:
            ProductTag.objects.create(product=made, tag=red)
    assert names(cast.owner) == ["thing 3", "thing 2", "thing 1", "thing 0"]
    assert names(cast.owner, f"{PRODUCTS}?min_price=1&max_price=2.00") == ["thing 2", "thing 1"]
    assert names(cast.owner, f"{PRODUCTS}?tag=rED") == ["thing 1", "thing 0"]
    assert names(cast.owner, f"{PRODUCTS}?tag={red.pk}") == ["thing 1", "thing 0"]
    Tag.objects.filter(pk=red.pk).update(name=str(uuid4()).upper())
    red.refresh_from_db()
    for called in (red.name, red.name.lower(), str(red.pk).upper()):  # a name that looks like an id is one all the same
        assert names(cast.owner, f"{PRODUCTS}?tag={called}") == ["thing 1", "thing 0"]
    assert names(cast.owner, f"{PRODUCTS}?owner={cast.owner.user.pk}&limit=1") == ["thing 3"]
    assert names(cast.owner, f"{PRODUCTS}?owner={cast.owner.user.number}") == ["thing 3", "thing 1"]
    for nothing in (f"owner={uuid4()}", "owner=999999", f"tag={uuid4()}", "tag=green"):
        assert names(cast.owner, f"{PRODUCTS}?{nothing}") == []
    for store in (cast.colleague.user.pk, cast.colleague.user.number):
        assert names(cast.owner, f"/api/v1/users/{store}/products/") == ["thing 2", "thing 0"]
    assert cast.owner.get(f"/api/v1/users/{uuid4()}/products/").status_code == 404


@pytest.mark.parametrize("query", ["max_price=dear", "min_price=-1", "owner=me", "max_price=NaN"])
def test_invalid_filters_are_400(cast: Cast, query: str):
    assert cast.owner.get(f"{PRODUCTS}?{query}").status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("path", [PRODUCTS, TAGS, "/api/v1/orders/", "/api/v1/bag/"])
def test_lists_take_as_many_queries_for_many_as_for_few(cast: Cast, product: MakeProduct, path: str):
    def add(number: int) -> None:
        for _ in range(number):
            made, word = product(str(uuid4())), tag(str(uuid4()))
            ProductTag.objects.create(product=made, tag=word)
            cast.owner.put(f"/api/v1/bag/items/{made.pk}/", {"quantity": 1})
            cast.owner.post("/api/v1/orders/", {"lines": [{"product": made.number, "quantity": 1}]})

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert cast.owner.get(path if "bag" in path else f"{path}?limit=500").status_code == 200
        return len(captured)

    add(2)
    few = queries()
    add(20)
    assert queries() == few


# --- Tags -----------------------------------------------------------------------------------------------


def test_staff_write_tags_and_every_user_reads_them(cast: Cast):
    made = cast.staff.post(TAGS, {"name": "Bicycle", "description": "Two wheels."})
    assert made.status_code == 201
    path = f"{TAGS}{made.json()['id']}/"
    cast.staff.post(TAGS, {"name": "big"})
    assert sorted(names(cast.owner, f"{TAGS}?prefix=BI")) == ["Bicycle", "big"]
    assert names(cast.owner, f"{TAGS}?prefix=bic") == ["Bicycle"]
    assert names(cast.owner, f"{TAGS}?prefix=%25") == []
    assert cast.owner.post(TAGS, {"name": "mine"}).status_code == 403
    assert cast.owner.client.patch(path, {"name": "mine"}, content_type="application/json").status_code == 403
    assert cast.owner.delete(path).status_code == 403
    renamed = cast.staff.client.patch(path, {"name": "bike"}, content_type="application/json")
    assert renamed.json()["name"] == cast.owner.get(path).json()["name"] == "bike"
    assert cast.staff.delete(path).status_code == 204
    assert cast.owner.get(path).status_code == 404


@pytest.mark.parametrize(
    "tags",
    [lambda: Tag.objects.alive().called("Red"), lambda: Tag.objects.beginning("Re")],
    ids=["called", "beginning"],
)
def test_tags_are_found_by_an_index(cast: Cast, tags: Callable[[], QuerySet[Tag]]):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # the table is too small for it to matter
    assert re.search(r"Index Cond: \(+lockstep_fold\(name\)", tags().explain())


@pytest.mark.parametrize(
    ("ordering", "expected"), [("", "dBaC"), ("created", "CaBd"), ("name", "aBCd"), ("-name", "dCBa")]
)
def test_tags_are_sorted_by_the_ordering(cast: Cast, ordering: str, expected: str):
    """By name means whatever the case."""
    for name in "CaBd":
        tag(name)
    assert "".join(walked(cast.owner, f"{TAGS}?limit=1&ordering={ordering}")) == expected


@pytest.mark.django_db(transaction=True)
def test_adding_a_tag_locks_it_before_the_product(cast: Cast, product: MakeProduct, database: psycopg.Connection):
    """In the order of a renaming: the other order would be a deadlock."""
    made, red = product(), tag("red")

    def put() -> int:
        try:
            return cast.owner.put(f"{PRODUCTS}{made.pk}/tags/{red.pk}/", {}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("SELECT FROM shop_tag WHERE id = %s FOR NO KEY UPDATE", [red.pk])
            putting = pool.submit(put)
            eventually(lambda: any_lock_waiter(database))
            database.execute("SELECT FROM shop_product WHERE id = %s FOR NO KEY UPDATE NOWAIT", [made.pk])
        assert putting.result() == 204


@pytest.mark.django_db(transaction=True)
def test_tags_added_concurrently_are_both_shown(product: MakeProduct, database: psycopg.Connection):
    """Without the actions, which lock the product first: the second writer reads what the first one wrote."""
    made, red, round_ = product(), tag("red"), tag("round")

    def put() -> None:
        try:
            ProductTag.objects.create(product=made, tag=round_)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("INSERT INTO shop_producttag (product_id, tag_id) VALUES (%s, %s)", [made.pk, red.pk])
            putting = pool.submit(put)
            eventually(lambda: any_lock_waiter(database))
        putting.result()
    assert Product.objects.get().tags == ["red", "round"]


def test_products_show_their_tags_for_every_writer(product: MakeProduct):
    first, second = product(), product()
    link = ProductTag.objects.create(product=first, tag=tag("red"))

    def shown() -> list[list[str]]:
        return [Product.objects.get(pk=one.pk).tags for one in (first, second)]

    assert shown() == [["red"], []]
    ProductTag.objects.update(product=second)
    assert shown() == [[], ["red"]]
    link.delete()
    assert shown() == [[], []]


def test_unchanged_tags_keep_the_version_of_a_product(product: MakeProduct):
    made = product()
    ProductTag.objects.create(product=made, tag=tag("red"))
    before = Product.objects.get().version
    ProductTag.objects.update(updated=Now())
    assert Product.objects.get().version == before


@pytest.mark.parametrize("path", [PRODUCTS, f"{PRODUCTS}{{}}/"], ids=["list", "one"])
def test_list_and_object_take_one_query(cast: Cast, product: MakeProduct, path: str, django_assert_num_queries):
    """Authentication and representation."""
    made = product()
    for person in (cast.owner, cast.outsider):
        with django_assert_num_queries(1):
            assert person.get(path.format(made.number)).status_code == 200


def test_page_links_keep_the_parameters_of_the_request(cast: Cast, product: MakeProduct):
    """With all that was asked, and one cursor."""
    for _ in range(3):
        product()
    first = cast.owner.get(f"{PRODUCTS}?limit=1&search=thing%26+a&owner={cast.owner.user.pk}").json()
    second = cast.owner.get(first["next"]).json()
    for link in (second["next"], second["previous"]):
        asked = parse_qs(urlsplit(link).query)
        assert (asked["limit"], asked["search"], len(asked["cursor"])) == (["1"], ["thing& a"], 1)
        assert asked["owner"] == [str(cast.owner.user.pk)]


def test_two_tags_do_not_differ_in_case_only(cast: Cast):
    cast.staff.post(TAGS, {"name": "Red"})
    again = cast.staff.post(TAGS, {"name": "rED"})
    assert (again.status_code, again.json()["errors"][0]["field"]) == (400, "name")


def test_owners_add_tags_to_their_products(cast: Cast, product: MakeProduct):
    made, red, round_ = product(), tag("red"), tag("Round")
    path = f"{PRODUCTS}{made.pk}/"
    before = cast.owner.get(path)["ETag"]
    for one in (round_, red, red):
        assert cast.owner.put(f"{path}tags/{one.pk}/", {}).status_code == 204
    assert cast.owner.get(path).json()["tags"] == ["red", "Round"]
    assert cast.owner.get(path)["ETag"] != before
    assert cast.colleague.put(f"{path}tags/{red.pk}/", {}).status_code == 403
    assert cast.colleague.delete(f"{path}tags/{red.pk}/").status_code == 403
    assert cast.owner.put(f"{path}tags/{uuid4()}/", {}).status_code == 404
    for _ in range(2):
        assert cast.owner.delete(f"{path}tags/{red.pk}/").status_code == 204
    assert cast.owner.get(path).json()["tags"] == ["Round"]
    seen = cast.owner.get(path)["ETag"]
    cast.staff.client.patch(f"{TAGS}{round_.pk}/", {"name": "Oval"}, content_type="application/json")
    renamed = cast.owner.client.get(path, headers={"if-none-match": seen})
    assert (renamed.status_code, renamed.json()["tags"]) == (200, ["Oval"])
    cast.staff.delete(f"{TAGS}{round_.pk}/")
    gone = cast.owner.client.get(path, headers={"if-none-match": renamed["ETag"]})
    assert (gone.status_code, gone.json()["tags"]) == (200, [])
