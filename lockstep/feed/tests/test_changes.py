"""The change log over REST: who may read what, narrowing, pages, histories."""

import json
from uuid import UUID

import pytest

from backend.accounts.models import User
from backend.defects.models import Defect
from backend.posts.models import Comment, Post
from backend.shop.models import ProductTag, Tag
from lockstep.changes.models import LoggedChange
from lockstep.delivery.destinations.webhook import body_of
from lockstep.delivery.subscriptions import Change, Claim
from tests.support import Cast

pytestmark = pytest.mark.django_db

PATH = "/api/v1/changes/"
CREATE = "/fakeapi/v1/posts/create/"


def write(cast: Cast, title: str = "a") -> Post:
    response = cast.owner.post(CREATE, {"title": title, "body": "b"})
    return Post.objects.get(number=response.json()["id"])


def rename(cast: Cast, post: Post, title: str) -> None:
    cast.colleague.put(f"/fakeapi/v1/posts/update/{post.number}/", {"title": title, "body": "b"})


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_the_log_is_for_staff(cast: Cast, client, accept: str):
    headers = {"accept": accept}
    assert cast.owner.client.get(PATH, headers=headers).status_code == 403
    refused = client.get(PATH, headers=headers)
    assert (refused.status_code, refused["Content-Type"]) == (401, "application/problem+json")


def test_the_list_has_actor_change_and_trace(cast: Cast):
    response = cast.owner.post(CREATE, {"title": "a", "body": "b"})
    [entry] = cast.staff.get(f"{PATH}?model=posts.post").json()["results"]
    assert (entry["type"], entry["kind"], entry["before"]) == ("posts.post.created", "created", None)
    assert entry["after"]["title"] == "a"
    assert entry["actor"] == f"user:{cast.owner.user.pk}"
    assert entry["trace"] == response["X-Request-ID"]


def test_the_list_is_narrowed_by_its_parameters(cast: Cast):
    post = write(cast)
    rename(cast, post, "b")
    write(cast, "other")

    def count(query: str) -> int:
        response = cast.staff.get(f"{PATH}?{query}")
        assert response.status_code == 200, response.content
        return len(response.json()["results"])

    assert count("model=posts.post") == 3
    assert count(f"object_id={post.pk}") == 2
    assert count("model=posts.post&kind=updated") == 1
    assert count(f"actor=user:{cast.colleague.user.pk}") == 1
    assert count("model=posts.post&until=2020-01-01T00:00:00Z") == 0
    assert count("model=posts.post&since=2020-01-01T00:00:00Z") == 3
    assert count("origin=jsonplaceholder") == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=yesterday", 400),
        ("until=%00", 400),
        ("model=%00", 400),
        ("cursor=cD1hYmM=", 400),  # p=abc
        ("cursor=cD1bMTIzNDU2Nzg5MDEyMzQ1Njc4OTBd", 200),  # p=[12345678901234567890]: past 64 bits
        ("cursor=bz0tMQ==", 400),  # o=-1
    ],
)
def test_invalid_filters_of_the_log_are_400(cast: Cast, query: str, status: int):
    assert cast.staff.get(f"{PATH}?{query}").status_code == status


def test_pages_go_newest_first_to_the_end(cast: Cast):
    for n in range(7):
        write(cast, f"{n}")
    titles, path = [], f"{PATH}?model=posts.post&limit=3"
    while path:
        page = cast.staff.get(path).json()
        titles += [entry["after"]["title"] for entry in page["results"]]
        path = page["next"]
    assert titles == [f"{n}" for n in reversed(range(7))]
    oldest = cast.staff.get(f"{PATH}?model=posts.post&limit=1&ordering=seq").json()["results"]
    assert oldest[0]["after"]["title"] == "0"


def test_the_history_of_a_live_post_is_for_every_user(cast: Cast):
    post = write(cast)
    rename(cast, post, "b")
    histories = [f"/api/v1/history/posts.post/{name}/" for name in (post.number, post.pk)]
    for path in histories:
        history = cast.outsider.get(path).json()["results"]
        assert [entry["kind"] for entry in history] == ["updated", "created"]
        assert history[0]["changed"] == {"title": {"before": "a", "after": "b"}}
    cast.owner.delete(f"/fakeapi/v1/posts/delete/{post.number}/")
    for path in histories:
        history = cast.staff.get(path).json()["results"]
        assert [entry["kind"] for entry in history] == ["deleted", "updated", "created"]
        assert [entry["by"] for entry in history] == ["owner", "colleague", "owner"]
        assert history[0]["after"] is None


@pytest.mark.parametrize("model", ["posts.post", "posts.comment", "defects.defect", "shop.tag"])
def test_the_history_of_a_deleted_object_is_for_staff(cast: Cast, model: str):
    post = write(cast)
    rows = {
        "posts.post": post,
        "posts.comment": Comment.objects.create(post=post, name="n", email="e@example.com", body="b"),
        "defects.defect": Defect.objects.create(user=cast.owner.user, comment="c"),
        "shop.tag": Tag.objects.create(name="red"),
    }
    path = f"/api/v1/history/{model}/{rows[model].pk}/"
    assert cast.owner.get(path).status_code == 200
    type(rows[model]).objects.filter(pk=rows[model].pk).update(deleted="2026-01-01T00:00Z")
    assert [person.get(path).status_code for person in (cast.owner, cast.outsider, cast.staff)] == [404, 404, 200]


def test_emails_of_comments_are_in_histories_for_staff_only(cast: Cast):
    """The live list shows the present one; the history would show what it was before, for ever."""
    comment = Comment.objects.create(post=write(cast), name="n", email="mistyped@example.com", body="b")
    path = f"/api/v1/history/posts.comment/{comment.pk}/"
    Comment.objects.update(email="right@example.com")
    for person, count in ((cast.outsider, 0), (cast.staff, 2)):
        answer = person.get(path)
        assert [entry["kind"] for entry in answer.json()["results"]] == ["updated", "created"]
        assert answer.content.count(b"mistyped@example.com") == count
        assert (b"right@example.com" in answer.content) == bool(count)
    [updated, created] = cast.outsider.get(path).json()["results"]
    assert "changed" not in updated
    assert created["changed"]["name"] == {"before": None, "after": "n"}


def test_tag_links_are_for_staff_and_products_have_their_tags(cast: Cast):
    product = cast.owner.post("/api/v1/products/", {"name": "thing", "price": "1.00"}).json()
    tag = Tag.objects.create(name="red")
    assert cast.owner.put(f"/api/v1/products/{product['id']}/tags/{tag.pk}/", {}).status_code == 204
    link = ProductTag.objects.get()
    path = f"/api/v1/history/shop.producttag/{link.pk}/"
    assert [person.get(path).status_code for person in (cast.owner, cast.outsider, cast.staff)] == [404, 404, 200]
    [tagged, _] = cast.outsider.get(f"/api/v1/products/{product['id']}/history/").json()["results"]
    assert tagged["changed"] == {"tags": {"before": [], "after": ["red"]}}


def test_history_of_a_product_out_of_sight_is_for_its_owner_and_staff(cast: Cast):
    made = cast.owner.post("/api/v1/products/", {"name": "open", "price": "1.00"}).json()
    path = f"/api/v1/products/{made['id']}/"
    histories = (
        f"{path}history/",
        f"/api/v1/products/{made['number']}/history/",
        f"/api/v1/history/shop.product/{made['id']}/",
    )

    def statuses() -> set[tuple[int, int, int]]:
        people = (cast.owner, cast.staff, cast.outsider)
        return {tuple(person.get(history).status_code for person in people) for history in histories}

    def change(**values: str) -> None:
        assert cast.owner.client.patch(path, values, content_type="application/json").status_code == 200

    assert statuses() == {(200, 200, 200)}
    change(name="secret", state="OFF_SALE")
    assert statuses() == {(200, 200, 404)}
    change(name="offered", state="ON_SALE")
    shown = cast.outsider.get(histories[0])
    assert b"secret" not in shown.content
    assert [entry["kind"] for entry in shown.json()["results"]] == ["created", "deleted", "created"]
    assert b"secret" in cast.owner.get(histories[0]).content
    assert cast.owner.delete(path).status_code == 204
    assert statuses() == {(200, 200, 404)}


def test_the_history_of_a_user_is_for_staff(cast: Cast):
    user = User.objects.create_user("someuser", email="private@example.com")
    assert cast.outsider.get(f"/api/v1/history/accounts.user/{user.pk}/").status_code == 404
    assert cast.outsider.get(f"/api/v1/history/accounts.user/{user.number}/").status_code == 404
    [entry] = cast.staff.get(f"/api/v1/history/accounts.user/{user.number}/").json()["results"]
    assert (entry["kind"], entry["actor"], entry["by"]) == ("created", None, None)


@pytest.mark.parametrize(
    "name",
    [
        "posts.post/0192a3b4-0000-7000-8000-000000000000",
        "posts.post/9999",
        "nothing.at_all/1",
        "posts.post/" + "9" * 19,
        "lockstep_webhooks.endpoint/1",
        "posts.post/" + "-" * 36,
    ],
)
def test_unknown_histories_are_404(cast: Cast, name: str):
    assert cast.staff.get(f"/api/v1/history/{name}/").status_code == 404


def test_a_history_without_a_token_is_401(cast: Cast, client):
    assert client.get(f"/api/v1/history/posts.post/{write(cast).number}/").status_code == 401


def test_writes_to_the_list_are_405(cast: Cast):
    write(cast)
    before = LoggedChange.objects.count()
    for method in ("post", "put", "patch", "delete"):
        assert getattr(cast.staff.client, method)(PATH).status_code == 405
    assert LoggedChange.objects.count() == before


def test_a_history_sends_a_value_where_it_changed_and_nowhere_else(cast: Cast):
    """What an object was and became is not sent again beside what is different."""
    post = write(cast, "the first title")
    for title in ("the second title", "the third title"):
        rename(cast, post, title)
    answer = cast.owner.get(f"/api/v1/history/posts.post/{post.pk}/")
    counts = [answer.content.decode().count(f"the {which} title") for which in ("first", "second", "third")]
    assert counts == [2, 2, 1]  # what it became, and what it was when it became another
    assert answer.content.decode().count('"b"') == 1  # the body, which never changed
    entries = answer.json()["results"]
    assert [entry["changed"].keys() for entry in entries[:2]] == [{"title"}, {"title"}]
    assert [entry.keys() & {"before", "after"} for entry in entries] == [set(), set(), {"before"}]


def test_a_price_looks_the_same_everywhere(cast: Cast):
    made = cast.owner.post("/api/v1/products/", {"name": "Bicycle", "price": "249.90", "stock": 1}).json()
    path = f"/api/v1/products/{made['id']}/"
    cast.owner.client.patch(path, {"price": 250}, content_type="application/json")
    history = cast.owner.get(f"{path}history/").json()["results"]
    assert history[0]["changed"] == {"price": {"before": "249.90", "after": "250.00"}}
    changes = cast.staff.get(f"{PATH}?object_id={made['id']}&kind=created").json()["results"]
    assert changes[0]["after"]["price"] == made["price"] == "249.90"
    change = LoggedChange.objects.get(object_id=made["id"], kind="created")
    logged = {name: getattr(change, name) for name in ("seq", "at", "model", "object_id", "kind", "before", "after")}
    message = json.loads(body_of(Claim(1, 1, 1, UUID(int=1), Change(**logged))))
    assert message["data"]["after"]["price"] == "249.90"
