"""The fast path changes no response: each view that opted in is asked with it and without."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from backend.posts import reads
from backend.posts.models import Comment, Post
from backend.posts.views import PostReadView
from backend.shop.catalogue.models import Product
from lockstep.rest.fastpath.bundling import QUERY_OF
from tests.support import Cast

pytestmark = pytest.mark.django_db

OF_THE_MOMENT = {"Date", "X-Request-ID", "RateLimit"}
# The paths of each view that opted in: {} are numbers of the objects below.
PATHS = {
    "PostListView": ("/fakeapi/v1/posts/{query}",),
    "PostReadView": (
        "/fakeapi/v1/posts/{post}/{query}",
        "/fakeapi/v1/posts/{deleted_post}/",
        "/fakeapi/v1/posts/9999/",
    ),
    "CommentListView": ("/fakeapi/v1/posts/{post}/comments/{query}", "/fakeapi/v1/posts/{deleted_post}/comments/"),
    "CommentReadView": (
        "/fakeapi/v1/posts/{post}/comments/{comment}/{query}",
        "/fakeapi/v1/posts/{other_post}/comments/{comment}/",
        "/fakeapi/v1/posts/{post}/comments/{deleted_comment}/",
    ),
    "ProductListView": ("/api/v1/products/{query}",),
    "ProductView": (
        "/api/v1/products/{product}/{query}",
        "/api/v1/products/{product_id}/",
        "/api/v1/products/{off_sale}/",
        "/api/v1/products/{deleted_product}/",
    ),
}
QUERIES = (
    *("", "?unknown=1", "?_limit=1", "?_limit=1&_page=2", "?_start=1", "?_page=1&_start=1", "?_limit=0", "?_page=9999"),
    *(
        "?limit=1",
        "?limit=501",
        "?cursor=x",
        "?search=tea",
        "?ordering=price",
        "?offset=1",
        "?count=exact",
        "?limit=1&limit=2",
    ),
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"if-none-match": '"1"'},
    {"if-none-match": 'W/"1", "7"'},
    {"if-none-match": "junk"},
    {"if-match": '"99"'},
    {"accept": "application/json"},
    {"accept": "text/html"},
    {"accept": ""},
)


def opted_in(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[str]:
    """The views of these routes whose GET bundles its query."""
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from opted_in(one.url_patterns)
        elif hasattr(getattr(getattr(one.callback, "view_class", None), "get", None), QUERY_OF):
            yield one.callback.view_class.__name__  # type: ignore[attr-defined]  # of a class-based view


@pytest.fixture
def objects(cast: Cast) -> dict[str, object]:
    owner, now = cast.owner.user, timezone.now()
    post, other_post, deleted_post = (Post.objects.create(title=f"Post {n}", body="ä b") for n in range(3))
    comments = [Comment.objects.create(post=post, name="n", email="a@example.org", body="b") for _ in range(2)]
    goods = [Product.objects.create(name=f"Tea {n}", price="1.50", stock=3, owner=owner) for n in range(3)]
    Post.objects.filter(pk=deleted_post.pk).update(deleted=now)
    Comment.objects.filter(pk=comments[1].pk).update(deleted=now)
    Product.objects.filter(pk=goods[1].pk).update(state="OFF_SALE")
    Product.objects.filter(pk=goods[2].pk).update(deleted=now)
    return {
        "post": post.number,
        "other_post": other_post.number,
        "deleted_post": deleted_post.number,
        "comment": comments[0].number,
        "deleted_comment": comments[1].number,
        "product": goods[0].number,
        "product_id": goods[0].pk,
        "off_sale": goods[1].number,
        "deleted_product": goods[2].number,
    }


def responses(cast: Cast, paths: list[str]) -> dict[tuple[object, ...], tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of each request."""
    without, bad = Client(), Client(headers={"authorization": "Bearer nonsense"})
    who = {"owner": cast.owner.client, "stranger": cast.outsider.client, "no token": without, "bad token": bad}
    found = {}
    requests = [(method, path, one, {}) for method, path, one in product(("get", "head"), paths, who)]
    requests += [("get", path, "owner", headers) for path, headers in product(paths, HEADERS)]
    for method, path, one, headers in requests:
        response: Any = getattr(who[one], method)(path, headers=headers)
        kept = {name: value for name, value in response.items() if name not in OF_THE_MOMENT}
        found[method, path, one, *headers.items()] = (response.status_code, kept, response.content)
    return found


def test_each_view_that_opted_in_is_compared():
    assert set(opted_in(get_resolver().url_patterns)) == PATHS.keys()


@pytest.mark.parametrize("view", PATHS)
def test_responses_are_equal_with_and_without_the_fast_path(
    cast: Cast, objects: dict[str, object], settings: Any, view: str
):
    paths = [
        path.format(**objects, query=query)
        for path in PATHS[view]
        for query in QUERIES
        if query == "" or "{query}" in path
    ]
    fast = responses(cast, paths)
    settings.LOCKSTEP = {**settings.LOCKSTEP, "REST_FASTPATH": False}
    slow = responses(cast, paths)
    assert {200, 400, 401} <= {status for status, _, _ in fast.values()}
    for request, response in fast.items():
        assert response == slow[request], request


def test_bundled_row_of_another_query_is_not_returned(
    cast: Cast, objects: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(vars(PostReadView.get), QUERY_OF, lambda _, number: reads.post(objects["other_post"]))
    response = cast.owner.get(f"/fakeapi/v1/posts/{objects['post']}/")
    assert response.json()["id"] == objects["post"]


def test_view_with_a_bundled_query_sends_one_statement(
    cast: Cast, objects: dict[str, object], settings: Any, django_assert_num_queries: Any
):
    path = f"/fakeapi/v1/posts/{objects['post']}/"
    with django_assert_num_queries(1):
        cast.owner.get(path)
    settings.LOCKSTEP = {**settings.LOCKSTEP, "REST_FASTPATH": False}
    with django_assert_num_queries(2):
        cast.owner.get(path)
