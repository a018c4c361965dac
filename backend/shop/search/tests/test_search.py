"""Search: whole words, begun ones and misspelt ones, in name, description and tags, as soon as they are written."""

import threading

import psycopg
import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from backend.shop.catalogue.actions import add_tag, delete_product, delete_tag, remove_tag, update_product, update_tag
from backend.shop.conftest import MakeProduct
from backend.shop.models import PendingVocabulary, Product, ProductTag, SearchEntry, SearchWord, Tag
from backend.shop.search import engine, vocabulary
from backend.shop.search.vocabulary import index_vocabulary, prune_vocabulary
from conftest import database_url
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

PRODUCTS = "/api/v1/products/"


def page(person: Person, text: str, **more: object) -> dict:
    answer = person.client.get(PRODUCTS, {"search": text} | more)
    assert answer.status_code == 200, answer.content
    return answer.json()


def names(page: dict) -> list[str]:
    return [one["name"] for one in page["results"]]


def found(cast: Cast, text: str, **more: object) -> list[str]:
    return names(page(cast.colleague, text, **more))


@pytest.fixture
def shelves(product: MakeProduct) -> dict[str, Product]:
    wares = {
        "Red bicycle": "Two wheels and a bell.",
        "Blue bicycle": "Two wheels, no bell.",
        "Garden chair": "Of wood; red paint is sold beside it.",
        "100% cotton_shirt": "O'Neill's.",
        "Étagère": "Black/white, 12.5 kg, of shop.example.",
    }
    made = {name: product(name, description=text) for name, text in wares.items()}
    index_vocabulary()
    return made


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("bicycle", ["Blue bicycle", "Red bicycle"]),
        ("BICYCLE", ["Blue bicycle", "Red bicycle"]),
        ("red", ["Garden chair", "Red bicycle"]),
        ("red bicycle", ["Red bicycle"]),
        ("bicycle red", ["Red bicycle"]),
        ("wheels red", ["Red bicycle"]),
        ("bicy", ["Blue bicycle", "Red bicycle"]),
        ("red bi", ["Red bicycle"]),
        ("bi red", []),
        ("bycicle", ["Blue bicycle", "Red bicycle"]),
        ("bycicle red", ["Red bicycle"]),
        ("gardn", ["Garden chair"]),
        ("zeppelin", []),
        ("w", ["Étagère", "Garden chair", "Blue bicycle", "Red bicycle"]),
        ("ÉTAG", ["Étagère"]),
        ("white", ["Étagère"]),
        ("white/black", ["Étagère"]),
        ("kg 12.5", ["Étagère"]),
        ("example", ["Étagère"]),
        ("12.6", []),
        ("shirt", ["100% cotton_shirt"]),
        ("Cotton_Shirt", ["100% cotton_shirt"]),
        ("100%", ["100% cotton_shirt"]),
        ("o'neill", ["100% cotton_shirt"]),
        ("red & bicycle", ["Red bicycle"]),
        ("red | blue", []),
        ("!red:* <-> (bicycle", ["Red bicycle"]),
        ("') | 'x", []),
        ("\\'red\\", ["Garden chair", "Red bicycle"]),
        ("%", []),
        ("b%", ["Étagère", "Garden chair", "Blue bicycle", "Red bicycle"]),
        ("_ed", []),
        ("   ", []),
        (".,-", []),
        ("x" * 200, []),
        ("red " * 50, ["Garden chair", "Red bicycle"]),
        ("two wheels and a bell two wheels and nothing else", ["Red bicycle"]),
    ],
)
def test_search_finds_matching_products(cast: Cast, shelves: dict[str, Product], text: str, names: list[str]):
    assert found(cast, text) == names


@pytest.mark.parametrize("text", ["red\0bicycle", "\0", "x" * 201, "red " * 2_500])
def test_invalid_search_texts_are_400(cast: Cast, text: str):
    answer = cast.owner.client.get(PRODUCTS, {"search": text})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "search")


def test_an_empty_search_is_no_filter(cast: Cast, shelves: dict[str, Product]):
    assert found(cast, "") == list(reversed(shelves))


def test_written_products_are_found_at_once(cast: Cast, shelves: dict[str, Product]):
    chair = shelves["Garden chair"]
    update_product(actor="", product=chair, name="Throne")
    assert (found(cast, "throne"), found(cast, "chair")) == (["Throne"], [])
    royal = Tag.objects.create(name="royal")
    add_tag(actor="", product=chair, tag=royal)
    assert found(cast, "royal throne") == ["Throne"]
    update_tag(actor="", tag=royal, name="imperial")
    assert (found(cast, "imperial"), found(cast, "royal")) == (["Throne"], [])
    remove_tag(actor="", product=chair, tag=royal)
    assert found(cast, "imperial") == []
    add_tag(actor="", product=chair, tag=royal)
    delete_tag(actor="", tag=Tag.objects.get())
    assert found(cast, "imperial") == []
    delete_product(actor="", product=chair)
    assert found(cast, "throne") == []
    assert not SearchEntry.objects.filter(product=chair).exists()


def test_search_finds_words_of_every_writer(cast: Cast, shelves: dict[str, Product]):
    Product.objects.filter(name__contains="bicycle").update(description="Rides alone.")
    assert found(cast, "alone") == ["Blue bicycle", "Red bicycle"]
    ProductTag.objects.bulk_create(
        ProductTag(product=one, tag=Tag.objects.create(name=f"t{n}ag")) for n, one in enumerate(shelves.values())
    )
    assert found(cast, "t1ag") == ["Blue bicycle"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_keep_all_words(cast: Cast, product: MakeProduct):
    thing, royal = product("chair"), Tag.objects.create(name="royal")

    def rename() -> None:
        Product.objects.update(name="throne")
        connections.close_all()

    renaming = threading.Thread(target=rename)
    with psycopg.connect(database_url()) as slow:
        slow.execute("INSERT INTO shop_producttag (product_id, tag_id) VALUES (%s, %s)", [thing.pk, royal.pk])
        renaming.start()
        eventually(lambda: any_lock_waiter(slow))
    renaming.join()
    assert found(cast, "royal throne") == ["throne"]


def test_a_sale_does_not_touch_the_index(cast: Cast, shelves: dict[str, Product]):
    SearchEntry.objects.all().delete()
    Product.objects.update(stock=5, price=1)
    assert not SearchEntry.objects.exists()


def test_search_combines_with_other_filters(cast: Cast, shelves: dict[str, Product]):
    Product.objects.filter(name="Blue bicycle").update(price=100)
    assert found(cast, "bicycle", max_price=50) == ["Red bicycle"]
    assert found(cast, "bicycle", limit=1) == ["Blue bicycle"]
    assert found(cast, "bicycle", offset=1) == ["Red bicycle"]
    assert found(cast, "bicycle", ordering="price") == ["Red bicycle", "Blue bicycle"]
    assert page(cast.colleague, "bicycle", offset=0)["count"] == 2
    store = f"/api/v1/users/{cast.owner.user.pk}/products/"
    assert names(cast.outsider.get(f"{store}?search=blue").json()) == ["Blue bicycle"]


@pytest.mark.parametrize("near", [0, 10_000], ids=["far", "near"])
def test_products_off_sale_are_found_by_their_owner_only(
    cast: Cast, shelves: dict[str, Product], monkeypatch: pytest.MonkeyPatch, near: int
):
    monkeypatch.setattr(engine, "NEAR", near)
    Product.objects.filter(name="Red bicycle").update(state="OFF_SALE")
    assert names(page(cast.owner, "bicycle")) == ["Blue bicycle", "Red bicycle"]
    assert names(page(cast.colleague, "bicycle")) == ["Blue bicycle"]
    assert names(page(cast.colleague, "bicycle", offset=0)) == ["Blue bicycle"]


@pytest.mark.parametrize("near", [0, 1, 5, 10_000])
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_have_each_row_once_newest_first_in_both_directions(
    cast: Cast, product: MakeProduct, monkeypatch: pytest.MonkeyPatch, near: int, limit: int
):
    monkeypatch.setattr(engine, "NEAR", near)
    wares = [product(f"{'bell' if n % 3 else 'book'} {n}").name for n in range(10)]
    newest_first = [name for name in reversed(wares) if name.startswith("bell")]
    pages = [page(cast.colleague, "bell", limit=limit)]
    while pages[-1]["next"] and len(pages) < len(wares):
        pages.append(cast.colleague.get(pages[-1]["next"]).json())
    assert [name for one in pages for name in names(one)] == newest_first
    back = [pages[-1]]
    while back[-1]["previous"] and len(back) < len(wares):
        back.append(cast.colleague.get(back[-1]["previous"]).json())
    assert [names(one) for one in reversed(back)] == [names(one) for one in pages]


def test_the_number_of_queries_of_a_search_is_constant(cast: Cast, product: MakeProduct):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert found(cast, "bell")
        return len(captured)

    product("bell")
    few = queries()
    for n in range(20):
        product(f"bell {n}")
    assert queries() == few


# --- The words that misspelt ones are held against ---------------------------------------------------------------


def test_index_vocabulary_processes_the_whole_queue(
    cast: Cast, shelves: dict[str, Product], monkeypatch: pytest.MonkeyPatch
):
    SearchWord.objects.all().delete()
    Product.objects.update(description="Rides alone.")
    monkeypatch.setattr(vocabulary, "BATCH", 2)
    index_vocabulary()
    assert not PendingVocabulary.objects.exists()
    assert set(SearchWord.objects.values_list("word", flat=True)) >= {"bicycle", "chair", "shirt", "étagère", "rides"}


def test_a_word_of_no_product_counts_as_misspelt(cast: Cast, shelves: dict[str, Product], product: MakeProduct):
    wrong = product("Green bycicle")
    index_vocabulary()
    assert found(cast, "bycicle") == ["Green bycicle"]
    update_product(actor="", product=wrong, name="Green bicycle")
    prune_vocabulary()
    assert found(cast, "bycicle") == ["Green bicycle", "Blue bicycle", "Red bicycle"]
    assert SearchWord.objects.filter(word="bell").exists()


def test_codes_are_not_guessed(cast: Cast, product: MakeProduct):
    product("Bulb GX5312")
    index_vocabulary()
    assert found(cast, "gx5312") == ["Bulb GX5312"]
    assert found(cast, "gx5321") == []


@pytest.mark.django_db(transaction=True)
def test_the_vocabulary_does_not_read_uncommitted_products(cast: Cast, product: MakeProduct):
    thing = product("chair")
    with psycopg.connect(database_url()) as slow:
        slow.execute("UPDATE shop_product SET name = 'throne' WHERE id = %s", [thing.pk])
        index_vocabulary()
    index_vocabulary()
    assert SearchWord.objects.filter(word="throne").exists()
