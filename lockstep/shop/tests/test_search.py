"""Search: whole words, begun ones and misspelt ones, in name, description and tags, as soon as they are written."""

import pytest

from lockstep.shop import actions
from lockstep.shop.models import Product, ProductTag, SearchEntry, Tag
from lockstep.shop.search import learn_words
from lockstep.shop.tests.conftest import MakeProduct
from tests.support import Cast

pytestmark = pytest.mark.django_db

PRODUCTS = "/api/v1/products/"


def found(cast: Cast, text: str, more: str = "") -> list[str]:
    answer = cast.colleague.client.get(PRODUCTS, {"search": text} | dict(p.split("=") for p in more.split("&") if p))
    assert answer.status_code == 200, answer.content
    return [one["name"] for one in answer.json()["results"]]


@pytest.fixture
def shelves(product: MakeProduct) -> dict[str, Product]:
    wares = {
        "Red bicycle": "Two wheels and a bell.",
        "Blue bicycle": "Two wheels, no bell.",
        "Garden chair": "Of wood; red paint is sold beside it.",
        "100% cotton_shirt": "O'Neill's.",
    }
    made = {name: product(name, description=text) for name, text in wares.items()}
    learn_words()
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
        ("%", []),
        ("   ", []),
        ("100%", ["100% cotton_shirt"]),
        ("o'neill", ["100% cotton_shirt"]),
        ("') | 'x", []),
        ("a & b | !c:*", []),
        ("\x00", []),
        ("x" * 1_000, []),
    ],
)
def test_what_is_found(cast: Cast, shelves: dict[str, Product], text: str, names: list[str]):
    assert found(cast, text) == names


def test_what_was_written_is_found_at_once(cast: Cast, shelves: dict[str, Product]):
    chair = shelves["Garden chair"]
    actions.update_product(actor="", product=chair, name="Throne")
    assert (found(cast, "throne"), found(cast, "chair")) == (["Throne"], [])
    royal = Tag.objects.create(name="royal")
    actions.add_tag(actor="", product=chair, tag=royal)
    assert found(cast, "royal throne") == ["Throne"]
    actions.update_tag(actor="", tag=royal, name="imperial")
    assert (found(cast, "imperial"), found(cast, "royal")) == (["Throne"], [])
    actions.remove_tag(actor="", product=chair, tag=royal)
    assert found(cast, "imperial") == []
    actions.add_tag(actor="", product=chair, tag=royal)
    actions.delete_tag(actor="", tag=Tag.objects.get())
    assert found(cast, "imperial") == []
    actions.delete_product(actor="", product=chair)
    assert found(cast, "throne") == []
    assert not SearchEntry.objects.filter(product=chair).exists()


def test_whoever_writes_it_is_found(cast: Cast, shelves: dict[str, Product]):
    Product.objects.filter(name__contains="bicycle").update(description="Rides alone.")
    assert found(cast, "alone") == ["Blue bicycle", "Red bicycle"]
    ProductTag.objects.bulk_create(
        ProductTag(product=one, tag=Tag.objects.create(name=f"t{n}ag")) for n, one in enumerate(shelves.values())
    )
    assert found(cast, "t1ag") == ["Blue bicycle"]


def test_a_sale_does_not_touch_the_index(cast: Cast, shelves: dict[str, Product]):
    SearchEntry.objects.all().delete()
    Product.objects.update(stock=5, price=1)
    assert not SearchEntry.objects.exists()


def test_it_goes_together_with_everything_else(cast: Cast, shelves: dict[str, Product]):
    Product.objects.filter(name="Blue bicycle").update(price=100)
    assert found(cast, "bicycle", "max_price=50") == ["Red bicycle"]
    assert found(cast, "bicycle", "limit=1") == ["Blue bicycle"]
    assert found(cast, "bicycle", "offset=1") == ["Red bicycle"]
    Product.objects.filter(name="Red bicycle").update(state="OFF_SALE")
    assert found(cast, "bicycle") == ["Blue bicycle"]
