"""Whatever JSON can hold, in every field of a list: the rest comes in, and a plan compares it."""

import pytest

from backend.posts.mirror import COMMENTS, POSTS
from backend.posts.models import Comment, Post
from lockstep.http.errors import MalformedResponse
from lockstep.http.json_text import parse
from lockstep.http.tests.odd_json import ODD, Raw, dumps, encode
from lockstep.mirror.importing import unusable_in
from lockstep.mirror.plan import copy_line
from lockstep.mirror.push import same
from lockstep.mirror.remote import digest, projection
from lockstep.mirror.tests.support import Provider, run_import, run_plan
from tests.support import Cast

POST = {"id": 7, "userId": 1, "title": "t", "body": "b"}
COMMENT = {"id": 7, "postId": 7, "name": "n", "email": "e@example.com", "body": "b"}
BEYOND_READING = {one for one in ODD if one.text.startswith("[" * 1_000)}  # no parser reads so deep
IN_ROWS = [one for one in ODD if one not in BEYOND_READING]


def rows() -> list[object]:
    """Posts, each with something odd in one place, and one that is well at each end."""
    odd = [POST | {"id": 100 + n, name: one} for name in ("userId", "title", "body") for n, one in enumerate(IN_ROWS)]
    odd = [row | {"id": 100 + n} for n, row in enumerate(odd)]
    return [
        POST | {"id": 1},
        *odd,
        *(POST | {"id": one} for one in IN_ROWS),
        *IN_ROWS,
        POST | {"id": 2, "extra": ODD[8]},
    ]


@pytest.mark.slow
def test_storable_odd_values_are_imported_and_shown(provider: Provider, cast: Cast):
    provider.faults(methods=["GET"], path="/posts", body=dumps(rows()))
    code, output = run_import()
    assert code == 1
    assert "could not be used; all others were imported" in output
    assert {1, 2} <= set(Post.objects.values_list("number", flat=True))
    assert max(Post.objects.values_list("number", flat=True)) < 2**53
    assert cast.outsider.get("/fakeapi/v1/posts").json()
    for number in Post.objects.values_list("number", flat=True):
        assert cast.outsider.get(f"/fakeapi/v1/posts/{number}").json()["id"] == number


@pytest.mark.slow
def test_a_plan_compares_odd_values(provider: Provider):
    assert run_import()[0] == 0
    listed = [row | {"id": n + 1} for n, row in enumerate(rows()[1 : 3 * len(IN_ROWS)])]
    provider.faults(methods=["GET"], path="/posts", body=dumps(listed))
    code, output = run_plan("--full")
    assert code == 2
    assert f"Plan: 0 to create, 10 to update, {len(listed) - 10} to delete" in output
    assert Comment.objects.count() == 20


@pytest.mark.parametrize("odd", ODD, ids=lambda one: one.text[:12])
def test_one_odd_value_raises_nothing_but_provider_errors(odd: Raw):
    for collection, whole in ((POSTS, POST), (COMMENTS, COMMENT)):
        for name in whole:
            try:
                element = parse(encode(dumps(whole | {name: odd})))
                copy_line(collection, element)
            except MalformedResponse:
                continue
            assert isinstance(unusable_in(collection)(element), str)
            assert isinstance(digest(collection, projection(collection, element)), str)
            assert same(element, whole) in (True, False)
