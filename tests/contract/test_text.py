"""Every text that is unique, searched, filtered, sorted or signed in with, against one list of difficult strings."""

from collections.abc import Callable, Iterable
from itertools import cycle
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from django.utils.http import urlencode

from backend.accounts import throttling
from backend.accounts.development import ensure_client
from backend.accounts.models import User
from backend.accounts.tests.test_sign_in import SIGN_INS, SignIn, by_username
from backend.accounts.throttling import ACCOUNT, ADDRESS, PAIR, Limit
from backend.defects.models import Defect
from backend.movies.models import Catalogue, Movie
from backend.posts.models import Post
from backend.shop.models import Product, ProductTag, Tag
from backend.shop.search.vocabulary import index_vocabulary
from tests.difficult_text import (
    DIFFERENT,
    DIFFERENT_ADDRESSES,
    EQUAL,
    EQUAL_ADDRESSES,
    EQUAL_LABELS,
    IMPOSSIBLE_ADDRESSES,
    INVISIBLE,
    KEPT,
    LONG,
    UNSTORABLE,
    ZALGO,
    is_name,
)
from tests.support import Cast, Person

pytestmark = pytest.mark.django_db

Pair = tuple[str, str]
PASSWORD = "a long one, please"
NAMES = [pair for pair in EQUAL if all(map(is_name, pair))]


def failing(pairs: Iterable[Pair], holds: Callable[[str, str], bool], *, both: bool = False) -> list[Pair]:
    """The pairs for which it does not hold, the one or the other way round, or both.

    Each is tried in a savepoint of its own, so that none sees another.
    """
    found = []
    for number, pair in enumerate(pairs):
        ways = (pair, pair[::-1])
        for first, second in ways if both else (ways[number % 2],):
            with transaction.atomic():
                if not holds(first, second):
                    found.append((first, second))
                transaction.set_rollback(True)
    return found


def found(person: Person, path: str, **parameters: str) -> list[Any]:
    answer = person.get(f"{path}?{urlencode(parameters)}")
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def new_tag(cast: Cast, name: str) -> Any:
    return cast.staff.post("/api/v1/tags/", {"name": name})


def register(name: str = "", email: str = "") -> Any:
    body = {"username": name, "email": email, "password": PASSWORD}
    client = Client(raise_request_exception=False)
    return client.post("/api/v1/users/register/", {k: v for k, v in body.items() if v}, content_type="application/json")


@pytest.fixture(autouse=True)
def many_may_register(settings) -> None:
    settings.REGISTRATIONS_PER_HOUR = 10_000


@pytest.fixture(autouse=True)
def client_of_oauth(db: None) -> None:
    ensure_client()


# --- Tags: unique, filtered, begun, sorted --------------------------------------------------------------


def test_a_tag_is_unique_in_every_spelling(cast: Cast):
    def holds(first: str, second: str) -> bool:
        return [new_tag(cast, first).status_code, new_tag(cast, second).status_code] == [201, 400]

    assert failing(EQUAL_LABELS, holds, both=True) == []


def test_tags_that_are_not_equal_are_two(cast: Cast):
    def holds(first: str, second: str) -> bool:
        return [new_tag(cast, first).status_code, new_tag(cast, second).status_code] == [201, 201]

    assert failing(DIFFERENT, holds) == []


def test_products_and_tags_are_found_by_every_spelling_of_a_tag(cast: Cast):
    product = Product.objects.create(owner=cast.owner.user, name="a thing", price=1)

    def holds(first: str, second: str) -> bool:
        tag = Tag.objects.create(name=first)
        ProductTag.objects.create(product=product, tag=tag)
        by_tag = found(cast.owner, "/api/v1/products/", tag=second)
        by_prefix = found(cast.owner, "/api/v1/tags/", prefix=second)
        by_word = found(cast.owner, "/api/v1/products/", search=second)
        return len(by_tag) == len(by_prefix) == 1 and (len(by_word) == 1 or (first, second) not in EQUAL)

    assert failing(EQUAL_LABELS, holds, both=True) == []


def test_a_tag_is_not_found_by_another_name(cast: Cast):
    def holds(first: str, second: str) -> bool:
        Tag.objects.create(name=first)
        return found(cast.owner, "/api/v1/tags/", prefix=second) == []

    assert failing(DIFFERENT, holds) == []


def test_tags_are_sorted_as_they_are_compared_page_by_page(cast: Cast):
    names = ["Éa", "éb", "e\u0301c", "\uff25d", "ee", "Zf", "ßg", "SSh"]
    Tag.objects.bulk_create(Tag(name=name) for name in names)
    seen, path = [], "/api/v1/tags/?ordering=name&limit=1"
    while path:
        body = cast.owner.get(path).json()
        seen += [one["name"][-1] for one in body["results"]]
        path = body["next"]
    assert "".join(seen) == "abcdeghf"  # é beside e, ß as ss, whatever the spelling


def test_the_tags_of_a_product_are_shown_in_the_same_order(cast: Cast):
    product = Product.objects.create(owner=cast.owner.user, name="a thing", price=1)
    for name in ("éb", "Éa", "Zf"):
        ProductTag.objects.create(product=product, tag=Tag.objects.create(name=name))
    assert cast.owner.get(f"/api/v1/products/{product.pk}/").json()["tags"] == ["Éa", "éb", "Zf"]


def test_sql_makes_no_second_spelling_of_a_tag(cast: Cast):
    def holds(first: str, second: str) -> bool:
        insert = "INSERT INTO shop_tag (id, name) VALUES (%s, %s)"
        with connection.cursor() as cursor:
            cursor.execute(insert, [uuid4(), first])
            return refused(lambda: cursor.execute(insert, [uuid4(), second]))

    assert failing(EQUAL_LABELS, holds) == []


def refused(write: Callable[[], Any]) -> bool:
    try:
        with transaction.atomic():
            write()
    except IntegrityError:
        return True
    return False


# --- Searched texts -------------------------------------------------------------------------------------


def test_products_are_found_by_every_spelling_of_their_name(cast: Cast):
    def holds(first: str, second: str) -> bool:
        Product.objects.create(owner=cast.owner.user, name=f"a {first} indeed", price=1)
        by_words = found(cast.owner, "/api/v1/products/", search=second)
        by_keyword = found(cast.owner, "/api/product/", keyword=second)
        return len(by_words) == len(by_keyword) == 1

    assert failing(EQUAL, holds) == []


def test_search_distinguishes_products_by_unequal_words(cast: Cast):
    def holds(first: str, second: str) -> bool:
        for name in (first, second):
            Product.objects.create(owner=cast.owner.user, name=f"a {name} indeed", price=1)
        index_vocabulary()
        by_words = found(cast.owner, "/api/v1/products/", search=f"{second} indeed")
        by_keyword = found(cast.owner, "/api/product/", keyword=second)
        return [one["name"] for one in by_words] == [one["name"] for one in by_keyword] == [f"a {second} indeed"]

    assert failing(DIFFERENT, holds) == []


def test_movies_are_found_and_grouped_by_every_spelling_of_their_title(cast: Cast):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO movies_catalogue (id, refreshed, complete) VALUES (1, now(), now())")
    assert Catalogue.objects.exists()

    def holds(first: str, second: str) -> bool:
        for title in (first, second):
            Movie.objects.create(remote_id=uuid4(), title=title, description="a film")
        Movie.objects.create(remote_id=uuid4(), title="Another", description=f"with {first} in it")
        by_title = found(cast.owner, "/api/v1/movies/", query=f"{second} FILM")
        by_description = found(cast.owner, "/api/v1/movies/", query=f"another {second}")
        grouped = found(cast.owner, "/api/v1/movies/", query="film", group="title")
        return [len(by_title), len(by_description), len(grouped)] == [2, 1, 1]

    assert failing(EQUAL, holds) == []


def test_defects_are_found_by_every_spelling_and_no_other(cast: Cast):
    def holds(first: str, second: str) -> bool:
        Defect.objects.create(user=cast.owner.user, comment=f"about {first}.")
        return len(found(cast.owner, "/api/v1/defects/", search=second)) == 1

    assert failing(EQUAL_LABELS, holds) == []
    assert failing(DIFFERENT, lambda first, second: not holds(first, second)) == []


def test_texts_written_by_sql_are_found_as_well(cast: Cast):
    made = Product.objects.create(owner=cast.owner.user, name="old", price=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE shop_product SET name = %s, folded_name = 'forged' WHERE id = %s", ["Cafe\u0301", made.pk]
        )
    assert len(found(cast.owner, "/api/product/", keyword="CAFÉ")) == 1
    assert len(found(cast.owner, "/api/v1/products/", search="café")) == 1
    assert found(cast.owner, "/api/product/", keyword="forged") == []


@pytest.mark.parametrize("word", ["100%", "a_b", "back\\slash", "'quoted'", "%s"])
def test_signs_of_patterns_are_only_themselves(cast: Cast, word: str):
    Product.objects.create(owner=cast.owner.user, name=f"Ä {word.upper()} b", price=1)
    Product.objects.create(owner=cast.owner.user, name="Ä 100 axb backslash quoted", price=1)
    assert [one["name"] for one in found(cast.owner, "/api/product/", keyword=f"ä {word}")] == [f"Ä {word.upper()} b"]


# --- Accounts -------------------------------------------------------------------------------------------

_ways = cycle(SIGN_INS)


def two_ways_to_sign_in() -> list[SignIn]:
    """Two of the ways to sign in, others each time."""
    return [next(_ways), next(_ways)]


def test_a_username_is_unique_and_signs_in_in_every_spelling(db: None):
    assert len(NAMES) > 15

    def holds(first: str, second: str) -> bool:
        made, again = register(first), register(second)
        signed_in = [sign_in(Client(), second, PASSWORD).status_code for sign_in in two_ways_to_sign_in()]
        return (made.status_code, again.status_code) == (201, 400) and signed_in == [200, 200]

    assert failing(NAMES, holds) == []


def test_usernames_that_are_not_equal_are_two_accounts(db: None):
    def holds(first: str, second: str) -> bool:
        numbers = [register(name).json().get("number") for name in (first, second)]
        return None not in numbers and by_username(Client(), second, PASSWORD).status_code == 200

    assert failing(DIFFERENT, holds) == []


def test_an_address_is_unique_and_signs_in_in_every_spelling(db: None):
    def holds(first: str, second: str) -> bool:
        made, again = register("first", first), register("second", second)
        signed_in = [sign_in(Client(), second, PASSWORD).status_code for sign_in in two_ways_to_sign_in()]
        return (made.status_code, again.status_code) == (201, 400) and signed_in == [200, 200]

    assert failing(EQUAL_ADDRESSES, holds) == []


def test_the_address_of_another_account_is_not_free_as_a_username(db: None):
    def holds(first: str, second: str) -> bool:
        assert register("first", first).status_code == 201
        return register(second).status_code == 400

    assert failing(EQUAL_ADDRESSES, holds) == []


def test_addresses_that_are_not_equal_are_two(db: None):
    def holds(first: str, second: str) -> bool:
        return [register("first", first).status_code, register("second", second).status_code] == [201, 201]

    assert failing(DIFFERENT_ADDRESSES, holds) == []


@pytest.mark.parametrize("address", IMPOSSIBLE_ADDRESSES)
def test_an_impossible_address_is_refused_and_named(db: None, address: str):
    answer = register("first", address)
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"email"}


def test_an_address_is_stored_as_dns_has_it_and_shown_with_its_letters(cast: Cast):
    body = {"email": "Ada@BÜCHER.example"}
    answer = cast.owner.client.patch("/api/v1/users/me/", body, content_type="application/json")
    assert answer.json()["email"] == "Ada@bücher.example"
    assert User.objects.get(pk=cast.owner.user.pk).email == "Ada@xn--bcher-kva.example"


def test_every_spelling_of_a_name_is_the_same_try(monkeypatch: pytest.MonkeyPatch, db: None):
    monkeypatch.setattr(throttling, "PAIR", Limit(PAIR.name, 1, PAIR.seconds))
    monkeypatch.setattr(throttling, "ACCOUNT", Limit(ACCOUNT.name, 1_000, ACCOUNT.seconds))
    monkeypatch.setattr(throttling, "ADDRESS", Limit(ADDRESS.name, 1_000, ADDRESS.seconds))

    def holds(first: str, second: str) -> bool:
        return [by_username(Client(), name, "wrong").status_code for name in (first, second)] == [401, 429]

    assert failing([*NAMES, *EQUAL_ADDRESSES], holds) == []


def test_sql_and_the_orm_make_no_second_spelling_of_a_name_or_address(db: None):
    def name(first: str, second: str) -> bool:
        User.objects.create(username=first)
        return refused(lambda: User.objects.bulk_create([User(username=second)]))

    def address(first: str, second: str) -> bool:
        User.objects.create(username="first", email=first)
        other = User.objects.create(username="second")
        raw = "UPDATE accounts_user SET email = %s WHERE id = %s"
        return refused(lambda: User.objects.filter(pk=other.pk).update(email=second)) and refused(
            lambda: connection.cursor().execute(raw, [second, other.pk])
        )

    assert failing(NAMES, name) == []
    assert failing(EQUAL_ADDRESSES, address) == []


# --- The admin ------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client: Client, cast: Cast) -> Client:
    client.force_login(cast.staff.user)
    return client


def test_the_admin_refuses_a_second_spelling_with_a_sentence(admin: Client):
    def holds(first: str, second: str) -> bool:
        User.objects.create(username=first)
        body = {"username": second, "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        answer = admin.post("/admin/accounts/user/add/", body)
        return answer.status_code == 200 and b"errorlist" in answer.content

    assert failing(NAMES, holds) == []


def test_the_admin_finds_every_spelling(admin: Client, cast: Cast):
    def holds(first: str, second: str) -> bool:
        Product.objects.create(owner=cast.owner.user, name=first, price=1)
        Tag.objects.create(name=first)
        pages = [admin.get(f"/admin/shop/{model}/?{urlencode({'q': second})}") for model in ("product", "tag")]
        return all(page.context["cl"].result_count == 1 for page in pages)

    assert failing(EQUAL[::4], holds) == []


# --- What is not seen, cannot be stored, or is long ----------------------------------------------------------


@pytest.mark.parametrize(("name", "character"), INVISIBLE)
def test_names_with_something_invisible_are_refused_and_it_is_named(cast: Cast, name: str, character: str):
    for answer, field in ((register(name), "username"), (new_tag(cast, name), "name")):
        assert answer.status_code == 400
        [error] = answer.json()["errors"]
        assert error["field"] == field
        assert character in error["detail"]


@pytest.mark.parametrize(("name", "character"), INVISIBLE)
def test_the_admin_refuses_them_as_well(admin: Client, name: str, character: str):
    answer = admin.post("/admin/shop/tag/add/", {"name": f"a{name}b", "description": ""})
    assert answer.status_code == 200
    assert character in answer.content.decode()


@pytest.mark.parametrize("text", UNSTORABLE)
def test_unstorable_texts_are_refused_everywhere(cast: Cast, text: str):
    product = {"name": text, "price": "1.00"}
    answers = [
        new_tag(cast, text),
        register(text),
        register("first", f"{text}@example.com"),
        by_username(Client(), text, PASSWORD),
        cast.owner.post("/api/v1/products/", product),
        cast.owner.post("/api/v1/defects/", {"comment": text}),
    ]
    assert {answer.status_code for answer in answers} == {400}
    assert all(answer["Content-Type"] == "application/problem+json" for answer in answers)


def test_texts_keep_invisible_characters(cast: Cast):
    for text in KEPT:
        made = cast.owner.post("/api/v1/products/", {"name": f"a{text}b", "price": "1.00", "description": f"a{text}b"})
        assert made.status_code == 201, made.content
        assert (made.json()["name"], made.json()["description"]) == (f"a{text}b", f"a{text}b")
        assert cast.owner.post("/api/v1/defects/", {"comment": f"a{text}b"}).json()["comment"] == f"a{text}b"


def test_movies_are_sorted_as_tags_are(cast: Cast):
    Catalogue.objects.update_or_create(id=1, defaults={"refreshed": timezone.now()})
    for title in ("Zf", "Éa", "e\u0301b", "ec"):
        Movie.objects.create(remote_id=uuid4(), title=title)
    for ordering, order in (("title", "abcf"), ("-title", "fcba")):
        titles = [one["title"] for one in found(cast.owner, "/api/v1/movies/", ordering=ordering)]
        assert "".join(title[-1] for title in titles) == order


def test_texts_are_stored_composed(cast: Cast):
    body = {"name": "Cafe\u0301", "price": "1.00", "description": "\ufb01ne cafe\u0301"}
    made = cast.owner.post("/api/v1/products/", body).json()
    assert (made["name"], made["description"]) == ("Café", "\ufb01ne café")  # composed, and nothing else
    assert new_tag(cast, "Cafe\u0301").json()["name"] == "Café"
    post = cast.owner.post("/fakeapi/v1/posts/create/", {"title": "Cafe\u0301", "body": "\ufb01ne cafe\u0301"}).json()
    assert (post["title"], post["body"]) == ("Café", "\ufb01ne café")
    comment = {"name": "Zoe\u0308", "email": "zoe@example.com", "body": "cafe\u0301"}
    comment = cast.owner.post(f"/fakeapi/v1/posts/{post['id']}/comments/create/", comment).json()
    assert (comment["name"], comment["body"]) == ("Zoë", "café")
    me = {"first_name": "Zoe\u0308", "last_name": "\u0958" * 75}  # what is composed stays two letters each
    answer = cast.owner.client.patch("/api/v1/users/me/", me, content_type="application/json").json()
    assert (answer["first_name"], answer["last_name"]) == ("Zoë", "\u0915\u093c" * 75)
    me = {"last_name": "\u0958" * 76}
    assert cast.owner.client.patch("/api/v1/users/me/", me, content_type="application/json").status_code == 400
    User.objects.filter(pk=cast.owner.user.pk).update(first_name="Rene\u0301")
    Post.objects.update(title="Rene\u0301")
    assert (User.objects.get(pk=cast.owner.user.pk).first_name, Post.objects.get().title) == ("René", "René")


@pytest.mark.timeout(120)  # what takes the square of a length takes hours here
@pytest.mark.parametrize("text", [ZALGO, LONG, "\u0f73" * 60_000], ids=["marks", "long", "marks of two"])
def test_nothing_takes_the_square_of_a_length(cast: Cast, admin: Client, text: str):
    part = text[:19_000]
    assert register(text).status_code == 400
    assert register("first", f"{text}@example.com").status_code == 400
    assert register("first", f"a@{text}.example").status_code == 400
    assert new_tag(cast, text).status_code == 400
    assert by_username(Client(), text, PASSWORD).status_code in (400, 401)
    form = {"grant_type": "password", "client_id": "lockstep-dev", "username": text, "password": PASSWORD}
    assert Client().post(
        "/oauth/token/", urlencode(form), content_type="application/x-www-form-urlencoded"
    ).status_code in (
        400,
        401,
        413,
    )
    assert admin.post("/admin/shop/tag/add/", {"name": text, "description": text}).status_code in (200, 302)
    made = cast.owner.post("/api/v1/products/", {"name": "long", "description": part, "price": "1.00"})
    assert made.status_code == 201
    Movie.objects.create(remote_id=uuid4(), title=text, description=text)
    for path, name in (("/api/v1/products/", "tag"), ("/api/v1/tags/", "prefix"), ("/api/product/", "keyword")):
        assert cast.owner.get(f"{path}?{urlencode({name: part})}").status_code in (200, 400, 414)
