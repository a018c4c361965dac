"""The frozen routes: what they take, what they show, who may."""

import pytest
from django.db import connection

from backend.posts.models import Comment, Post
from lockstep.changes.models import LoggedChange
from tests.support import Cast

pytestmark = pytest.mark.django_db

POSTS = "/fakeapi/v1/posts/"


@pytest.fixture
def post(db: None) -> Post:
    return Post.objects.create(number=7, user_id=3, title="a title", body="a body")


@pytest.fixture
def comment(post: Post) -> Comment:
    return Comment.objects.create(number=9, post=post, name="a name", email="a@example.com", body="a body")


def test_the_list_is_a_bare_array_as_the_provider_gives_it(cast: Cast, post: Post):
    answer = cast.owner.get(POSTS)
    assert answer.status_code == 200
    assert answer.json() == [{"userId": 3, "id": 7, "title": "a title", "body": "a body"}]
    assert answer["X-Total-Count"] == "1"


def test_a_new_post_belongs_to_user_99999942_whatever_user_is_sent(cast: Cast):
    answer = cast.owner.post(f"{POSTS}create/", {"title": "new", "body": "b", "userId": 5, "id": 1})
    assert answer.status_code == 201
    row = answer.json()
    assert row == {"id": row["id"], "userId": 99999942, "title": "new", "body": "b"}
    assert Post.objects.get(number=row["id"]).title == "new"


def test_a_creation_returns_what_a_get_does_byte_for_byte(cast: Cast, post: Post):
    awkward = 'e\u0301 \U0001f600 \u2028 \x7f \x1f \t "\\/ </script>'
    created = cast.owner.post(f"{POSTS}create/", {"title": awkward, "body": awkward})
    read = cast.owner.get(f"{POSTS}{created.json()['id']}/")
    assert (created.content, created["ETag"]) == (read.content, read["ETag"])
    comment = {"name": awkward, "email": "e@example.com", "body": awkward}
    created = cast.owner.post(f"{POSTS}7/comments/create/", comment)
    read = cast.owner.get(f"{POSTS}7/comments/{created.json()['id']}/")
    assert (created.content, created["ETag"]) == (read.content, read["ETag"])


def test_a_put_replaces_title_and_body_and_changes_neither_id_nor_user(cast: Cast, post: Post):
    answer = cast.owner.put(f"{POSTS}update/7/", {"title": "new", "body": "n", "id": 99, "userId": 99})
    assert answer.status_code == 200
    assert answer.json() == {"userId": 3, "id": 7, "title": "new", "body": "n"}


def test_a_delete_takes_the_comments_along(cast: Cast, comment: Comment):
    assert cast.owner.delete(f"{POSTS}delete/7/").status_code == 204
    assert cast.owner.get(POSTS).json() == []
    assert not Comment.objects.alive().exists()


def test_a_deleted_post_is_404_on_every_route(cast: Cast, comment: Comment):
    cast.owner.delete(f"{POSTS}delete/7/")
    body = {"title": "t", "body": "b"}
    words = {"name": "n", "email": "e@example.com", "body": "b"}
    answers = [
        cast.owner.get(f"{POSTS}7/"),
        cast.owner.put(f"{POSTS}update/7/", body),
        cast.owner.delete(f"{POSTS}delete/7/"),
        cast.owner.get(f"{POSTS}7/comments/"),
        cast.owner.post(f"{POSTS}7/comments/create/", words),
        cast.owner.get(f"{POSTS}7/comments/9/"),
        cast.owner.put(f"{POSTS}7/comments/update/9/", words),
        cast.owner.delete(f"{POSTS}7/comments/delete/9/"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 8


def test_comments_are_listed_and_read_below_their_post(cast: Cast, comment: Comment):
    shown = {"postId": 7, "id": 9, "name": "a name", "email": "a@example.com", "body": "a body"}
    assert cast.owner.get(f"{POSTS}7/comments/").json() == [shown]
    assert cast.owner.get(f"{POSTS}7/comments/9/").json() == shown


def test_a_comment_is_created_edited_and_deleted_under_its_post(cast: Cast, post: Post):
    words = {"name": "n", "email": "e@example.com", "body": "b"}
    made = cast.owner.post(f"{POSTS}7/comments/create/", words | {"postId": 1}).json()
    assert made == {"postId": 7, "id": made["id"], **words}
    edited = cast.owner.put(f"{POSTS}7/comments/update/{made['id']}/", words | {"body": "edited", "postId": 1})
    assert edited.json() == made | {"body": "edited"}
    assert cast.owner.delete(f"{POSTS}7/comments/delete/{made['id']}/").status_code == 204
    assert cast.owner.get(f"{POSTS}7/comments/").json() == []


def test_a_comment_is_not_reached_through_another_post(cast: Cast, comment: Comment):
    Post.objects.create(number=8, title="other", body="b")
    words = {"name": "n", "email": "e@example.com", "body": "b"}
    assert cast.owner.get(f"{POSTS}8/comments/9/").status_code == 404
    assert cast.owner.put(f"{POSTS}8/comments/update/9/", words).status_code == 404
    assert cast.owner.delete(f"{POSTS}8/comments/delete/9/").status_code == 404


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_route_answers_with_and_without_its_slash(cast: Cast, comment: Comment, slash: str):
    words = {"name": "n", "email": "e@example.com", "body": "b"}
    person = cast.owner
    assert person.get(f"/fakeapi/v1/posts{slash}").status_code == 200
    assert person.post(f"/fakeapi/v1/posts/create{slash}", {"title": "t", "body": "b"}).status_code == 201
    assert person.put(f"/fakeapi/v1/posts/update/7{slash}", {"title": "t", "body": "b"}).status_code == 200
    assert person.get(f"/fakeapi/v1/posts/7/comments{slash}").status_code == 200
    assert person.post(f"/fakeapi/v1/posts/7/comments/create{slash}", words).status_code == 201
    assert person.put(f"/fakeapi/v1/posts/7/comments/update/9{slash}", words).status_code == 200
    assert person.delete(f"/fakeapi/v1/posts/7/comments/delete/9{slash}").status_code == 204
    assert person.delete(f"/fakeapi/v1/posts/delete/7{slash}").status_code == 204


def test_writes_are_attributed_to_the_user_and_the_request(cast: Cast):
    person = cast.owner
    person.client.post(
        f"{POSTS}create/", {"title": "t", "body": "b"}, content_type="application/json", headers={"x-request-id": "r-1"}
    )
    change = LoggedChange.objects.get(model="posts.post")
    assert (change.actor, change.origin, change.trace) == (f"user:{person.user.pk}", None, "r-1")


@pytest.mark.parametrize(
    "query",
    [
        "_page=0",
        "_page=-1",
        "_page=x",
        "_limit=10001",
        "_limit=0",
        "_page=9" + "9" * 30,
        "_limit=1.5",
        "_limit=%D9%A1",
    ],
)
def test_invalid_page_parameters_are_400(cast: Cast, query: str):
    answer = cast.owner.get(f"{POSTS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


class TestPages:
    @pytest.fixture(autouse=True)
    def posts(self, db: None) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO posts_post (number, title, body) SELECT n, n::text, '' FROM generate_series(1, 1101) n"
            )

    def test_a_list_has_at_most_a_thousand_posts_by_default(self, cast: Cast):
        answer = cast.owner.get(POSTS)
        assert [row["id"] for row in answer.json()] == list(range(1, 1001))
        assert answer["X-Total-Count"] == "1101"
        assert answer["Link"] == (
            '<http://testserver/fakeapi/v1/posts/?_page=1&_limit=1000>; rel="first", '
            '<http://testserver/fakeapi/v1/posts/?_page=2&_limit=1000>; rel="next", '
            '<http://testserver/fakeapi/v1/posts/?_page=2&_limit=1000>; rel="last"'
        )

    def test_a_larger_limit_returns_more_posts(self, cast: Cast):
        assert len(cast.owner.get(f"{POSTS}?_limit=1101").json()) == 1101

    def test_page_in_the_middle_links_to_its_neighbours(self, cast: Cast):
        answer = cast.owner.get(f"{POSTS}?_page=3&_limit=10")
        assert [row["id"] for row in answer.json()] == list(range(21, 31))
        assert [part.split('rel="')[1].rstrip('"') for part in answer["Link"].split(", ")] == [
            "first",
            "prev",
            "next",
            "last",
        ]

    def test_a_page_past_the_end_is_empty(self, cast: Cast):
        assert cast.owner.get(f"{POSTS}?_page=999").json() == []

    def test_list_takes_two_queries_whatever_its_length(self, cast: Cast, django_assert_num_queries):
        with django_assert_num_queries(2):  # authentication with the rows, count
            cast.owner.get(f"{POSTS}?_limit=10")
        with django_assert_num_queries(2):
            cast.owner.get(f"{POSTS}?_limit=1000")
