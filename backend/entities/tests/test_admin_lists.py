"""Lists of the admin that are too long to be counted or searched to their end."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from backend.entities import admin_lists
from backend.posts.models import Post
from tests.admin_pages import admin_of
from tests.support import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(cast: Cast) -> Client:
    return admin_of(cast.staff.user)


@pytest.fixture
def posts() -> list[Post]:
    return [Post.objects.create(title=f"title {word}", body="b") for word in ("one", "two", "three")]


def listed(admin: Client, query: str = "") -> str:
    return admin.get(f"/admin/posts/post/{query}").content.decode()


def test_a_list_that_is_cut_says_so(admin: Client, posts: list[Post], monkeypatch: pytest.MonkeyPatch):
    assert "There are more" not in listed(admin)
    monkeypatch.setattr(admin_lists, "MAX_PAGED", 2)
    assert "There are more than these 2: search or filter" in listed(admin)


def test_no_list_counts_its_whole_table(admin: Client, posts: list[Post]):
    with CaptureQueriesContext(connection) as captured:
        listed(admin)
        listed(admin, "?q=title")
    counts = [query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"]]
    assert len(counts) == 2 and all(f"LIMIT {admin_lists.MAX_PAGED + 1}" in sql for sql in counts)


def test_texts_are_searched_for_among_the_newest_and_numbers_among_all(
    admin: Client, posts: list[Post], monkeypatch: pytest.MonkeyPatch
):
    assert "title one" in listed(admin, "?q=one")
    monkeypatch.setattr(admin_lists, "MAX_SEARCHED", 2)
    assert "title one" not in listed(admin, "?q=one") and "title two" in listed(admin, "?q=two")
    assert "title one" in listed(admin, f"?q={posts[0].number}")
    assert "title three" not in listed(admin, f"?q={posts[0].number}")


@pytest.mark.parametrize("text", ["9" * 30, "²", "-1", "0"])
def test_a_number_that_no_object_has_is_a_text(text: str, admin: Client, posts: list[Post]):
    assert "title one" not in listed(admin, f"?q={text}")
    Post.objects.create(title=f"about {text}", body="b")
    assert f"about {text}" in listed(admin, f"?q={text}")


def test_a_number_of_any_length_is_a_search(cast: Cast):
    """Python refuses to read one of more than 4,300 digits."""
    assert admin_of(cast.staff.user).get("/admin/posts/post/", {"q": "9" * 5_000}).status_code == 200
