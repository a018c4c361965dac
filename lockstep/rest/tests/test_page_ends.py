"""Where a page ends: by its bytes, by the deepest offset, and where there is nothing more."""

from collections.abc import Callable
from decimal import Decimal
from urllib.parse import quote
from uuid import UUID

import pytest
from django.db.models import Model
from django.utils import timezone

from backend.accounts.models import Follow, User
from backend.defects.actions import create_defect
from backend.defects.models import Defect
from backend.movies.models import Catalogue, Movie
from backend.posts.models import Comment, Post
from backend.shop.catalogue.actions import create_product, create_tag
from lockstep.rest.paging import limits, offset
from lockstep.rest.paging.limits import fitting
from tests.support import Cast

pytestmark = pytest.mark.django_db

ROWS, ROOM = 12, 4_000  # each row has some 1,000 bytes, three times as many where they are escaped
TEXT = '"\\\t' * 330


def make_products(cast: Cast) -> None:
    for number in range(ROWS):
        create_product(
            actor="", owner=cast.owner.user, name=f"thing {number}", description=TEXT, price=Decimal(1), stock=9
        )


def make_tags(cast: Cast) -> None:
    for number in range(ROWS):
        create_tag(actor="", name=f"thing {number}", description=TEXT)


def make_defects(cast: Cast) -> None:
    for number in range(ROWS):
        create_defect(actor="", user=cast.owner.user, comment=f"thing {number} {TEXT}")


def make_posts(cast: Cast) -> None:
    posts = [Post(number=number, title=f"thing {number}", body=TEXT) for number in range(1, ROWS + 1)]
    post = Post.objects.bulk_create(posts)[0]
    comments = [Comment(number=n, post=post, name="n", email="e@example.com", body=TEXT) for n in range(1, ROWS + 1)]
    Comment.objects.bulk_create(comments)
    for number in range(1, ROWS):
        Post.objects.filter(pk=post.pk).update(body=f"{TEXT} {number}")


def make_movies(cast: Cast) -> None:
    Catalogue.objects.update_or_create(id=1, defaults={"refreshed": timezone.now()})
    Movie.objects.bulk_create(
        Movie(remote_id=UUID(int=number), title=f"thing {number}", description=TEXT) for number in range(ROWS)
    )


LISTS: dict[str, Callable[[Cast], None]] = {
    "/api/v1/products/?limit=500": make_products,
    "/api/v1/products/?ordering=price": make_products,
    "/api/v1/products/?search=thing": make_products,
    "/api/v1/products/?offset=0": make_products,
    "/api/v1/tags/?ordering=name": make_tags,
    "/api/v1/tags/?offset=0": make_tags,
    "/api/defects": make_defects,
    "/api/v1/changes/?model=posts.post": make_posts,
    "/api/v1/history/posts.post/1/": make_posts,
    "/api/v1/movies/?limit=1000": make_movies,
    "/api/v1/movies/?skip=0&group=title&limit=1000": make_movies,
    "/fakeapi/v1/posts/": make_posts,
    "/fakeapi/v1/posts/?_limit=11": make_posts,
    "/fakeapi/v1/posts/1/comments/": make_posts,
}


def following(answer) -> str | None:
    if "fakeapi" not in answer.request["PATH_INFO"]:
        return answer.json()["next"]
    return next((one.split(">")[0][1:] for one in answer.get("Link", "").split(", ") if 'rel="next"' in one), None)


def rows_of(answer) -> list:
    body = answer.json()
    return body if isinstance(body, list) else body["results"]


@pytest.mark.slow
@pytest.mark.parametrize("path", LISTS)
def test_pages_of_large_rows_end_at_a_number_of_bytes_and_lead_through_all(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str
):
    LISTS[path](cast)
    whole = rows_of(cast.staff.get(path))
    assert len(whole) >= ROWS - ("_limit" in path)
    monkeypatch.setattr(limits, "MAX_PAGE_BYTES", ROOM)
    seen: list = []
    pages = 0
    address: str | None = path
    while address:
        answer = cast.staff.get(address)
        assert answer.status_code == 200, answer.content[:300]
        assert len(answer.content) < ROOM + 1_000 or len(rows_of(answer)) == 1
        assert cast.staff.client.head(address).status_code == 200
        seen += rows_of(answer)
        assert rows_of(answer)
        pages += 1
        address = following(answer)
    assert pages > 2
    assert len(seen) >= len(whole)
    assert seen[: len(whole)] == whole


@pytest.mark.parametrize("path", LISTS)
def test_a_row_that_is_larger_than_a_page_is_a_page(cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str):
    LISTS[path](cast)
    monkeypatch.setattr(limits, "MAX_PAGE_BYTES", 10)
    for _ in range(2):
        answer = cast.staff.get(path)
        assert len(rows_of(answer)) == 1
        path = following(answer) or ""
        assert path


@pytest.mark.parametrize("path", ["/api/v1/products/?limit=5", "/api/v1/products/?limit=5&search=thing"])
def test_a_page_limited_by_bytes_has_a_previous_link(cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str):
    make_products(cast)
    whole = [one["id"] for one in cast.owner.get("/api/v1/products/?limit=500").json()["results"]]
    monkeypatch.setattr(limits, "MAX_PAGE_BYTES", ROOM)
    address, seen = path, []
    while address:
        last, address = address, cast.owner.get(address).json()["next"]
    while last:
        answer = cast.owner.get(last).json()
        seen = [one["id"] for one in answer["results"]] + seen
        last = answer["previous"]
    assert seen == whole


def test_rows_beyond_the_page_size_do_not_leave_the_database(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    make_defects(cast)
    monkeypatch.setattr(limits, "MAX_PAGE_BYTES", ROOM)
    read: list[object] = []
    original = Defect.from_db

    def counting(*arguments: object) -> Model:
        read.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(Defect, "from_db", counting)
    found, more = fitting(Defect.objects.order_by("id"), 0, 500)
    assert (len(found) < ROWS / 2, more) == (True, True)
    assert len(read) == len(found) + 1


def test_posts_that_a_page_has_no_room_for_are_not_written_as_json(cast: Cast):
    """A hundred posts of a hundred thousand bytes: one megabyte, and where the rest is."""
    Post.objects.bulk_create(Post(number=number, title="t", body="x" * 100_000) for number in range(1, 101))
    answer = cast.owner.get("/fakeapi/v1/posts/")
    assert len(answer.content) <= 1_000_000 + 2
    assert (len(answer.json()), answer["X-Total-Count"]) == (9, "100")
    assert answer["Link"] == (
        '<http://testserver/fakeapi/v1/posts/?_page=1&_limit=1000>; rel="first", '
        '<http://testserver/fakeapi/v1/posts/?_start=9&_limit=1000>; rel="next"'
    )


# --- Offsets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/product/", "/api/v1/products/", "/api/v1/products/?ordering=price&"])
def test_next_beyond_the_largest_offset_is_a_cursor(cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str):
    make_products(cast)
    monkeypatch.setattr(offset, "MAX_OFFSET", 5)
    monkeypatch.setattr(limits, "QUICKLY_COUNTED", 3)
    monkeypatch.setattr(offset, "count_rows", lambda rows, kind: (1, False))  # an estimate that is far too low
    address, seen = f"{path}{'' if '?' in path else '?'}limit=2&offset=0", []
    while address:
        answer = cast.owner.get(address)
        assert answer.status_code == 200
        seen += [one["name"] for one in answer.json()["results"]]
        assert "offset" not in address or "cursor" not in address
        address = answer.json()["next"]
    assert len(seen) == ROWS
    assert len(set(seen)) == ROWS


def test_an_estimate_that_is_too_high_makes_no_next_page(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    make_products(cast)
    monkeypatch.setattr(offset, "count_rows", lambda rows, kind: (10**6, False))
    assert cast.owner.get(f"/api/v1/products/?offset=0&limit={ROWS}").json()["next"] is None
    assert cast.owner.get(f"/api/v1/products/?offset=0&limit={ROWS - 1}").json()["next"]


def test_an_offset_that_is_too_deep_names_the_cursor(cast: Cast):
    answer = cast.owner.get("/api/v1/products/?offset=10001")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"field": "offset", "detail": "Must be a whole number from 0 to 10,000. Use `cursor` to go further."}
    ]
    assert cast.owner.get("/api/v1/products/?offset=10000").json()["results"] == []


@pytest.mark.parametrize(
    ("query", "previous"),
    [("page=99&limit=5", "page=3"), ("page=4&limit=4", "page=3"), ("skip=99&limit=5", "skip=7"), ("page=2", "page=1")],
)
def test_the_page_before_one_past_the_end_has_rows(cast: Cast, query: str, previous: str):
    make_movies(cast)
    link = cast.owner.get(f"/api/v1/movies/?{query}").json()["previous"]
    assert previous in link
    assert cast.owner.get(link).json()["results"]


def test_an_empty_list_has_no_previous_page(cast: Cast):
    Catalogue.objects.update_or_create(id=1, defaults={"refreshed": timezone.now()})
    for path in ("/api/v1/movies/?page=99", "/api/v1/movies/?skip=99", "/api/v1/products/?offset=99"):
        assert cast.owner.get(path).json()["previous"] is None


def test_the_page_before_an_offset_past_the_end_has_rows(cast: Cast):
    make_products(cast)
    link = cast.owner.get("/api/v1/products/?offset=100&limit=5").json()["previous"]
    assert [one["name"] for one in cast.owner.get(link).json()["results"]][-1] == "thing 0"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/products/?cursor={}&offset=1", "offset"),
        ("/api/product/?cursor={}&offset=1", "offset"),
        ("/api/v1/movies/?page=1&skip=1", "skip"),
        ("/fakeapi/v1/posts/?_page=1&_start=1", "_start"),
    ],
)
def test_two_parameters_for_the_start_of_a_page_are_400(cast: Cast, path: str, field: str):
    make_movies(cast)
    answer = cast.owner.get(path.format(quote("cD0wMTlhMWIyYy0zZDRlLTdmNTAtOGE2Yi03YzhkOWUwZjFhMmI=")))
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, [field])


def test_computed_columns_are_paged_with_their_rows(cast: Cast):
    for number in range(3):
        one = User.objects.create_user(f"follower-{number}")
        Follow.objects.create(follower=one, followed=cast.owner.user)
    path = f"/api/v1/users/{cast.owner.user.pk}/followers/"
    assert [row["following"] for row in cast.staff.get(path).json()["results"]] == [1, 1, 1]
