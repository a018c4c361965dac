"""Lists by offset, which have a count, and by cursor, which have one on request."""

import pytest

from backend.accounts.models import Follow, User
from tests.support import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def followers(cast: Cast) -> str:
    people = User.objects.bulk_create([User(username=f"follower-{n:02}") for n in range(25)])
    Follow.objects.bulk_create([Follow(follower=one, followed=cast.owner.user) for one in people])
    return f"/api/v1/users/{cast.owner.user.pk}/followers/"


def names(body: dict) -> list[str]:
    return [one["username"] for one in body["results"]]


def test_next_and_previous_links_cover_the_whole_list(cast: Cast, followers: str):
    for path in (f"{followers}?limit=10", f"{followers}?limit=10&offset=0"):
        seen: list[str] = []
        while path:
            body = cast.staff.get(path).json()
            seen += names(body)
            path = body["next"]
        assert sorted(seen) == sorted(f"follower-{n:02}" for n in range(25))


def test_a_page_by_offset_has_a_count_and_both_links(cast: Cast, followers: str):
    body = cast.staff.get(f"{followers}?limit=10&offset=10").json()
    assert list(body) == ["count", "next", "previous", "results"]
    assert (body["count"], len(body["results"])) == (25, 10)
    assert body["next"].endswith("?limit=10&offset=20")
    assert body["previous"].endswith("?limit=10&offset=0")
    assert cast.staff.get(body["previous"]).json()["previous"] is None
    assert cast.staff.get(f"{followers}?offset=5&limit=10").json()["previous"].endswith("offset=0&limit=10")
    assert cast.staff.get(body["next"]).json()["next"] is None
    assert names(cast.staff.get(f"{followers}?offset=100").json()) == []


@pytest.mark.parametrize("kind", ["exact", "estimated"])
def test_a_page_by_cursor_has_a_count_on_request(cast: Cast, followers: str, kind: str):
    cast.owner.post("/api/v1/products/", {"name": "a red thing", "price": "1"})
    cast.owner.post("/api/v1/products/", {"name": "a blue thing", "price": "1"})
    lists = {followers: 25, "/api/v1/products/": 2, "/api/v1/products/?search=red": 1, "/api/v1/tags/": 0}
    for path, count in lists.items():
        first = f"{path}{'&' if '?' in path else '?'}limit=1"
        assert list(cast.owner.get(first).json()) == ["next", "previous", "results"]
        answer = cast.owner.get(f"{first}&count={kind}")
        body = answer.json()
        assert (list(body), body["count"]) == (["count", "next", "previous", "results"], count)
        assert "X-Count" not in answer
        while body["next"]:
            assert f"count={kind}" in body["next"]
            body = cast.owner.get(body["next"]).json()
            assert body["count"] == count


def test_filters_stay_in_the_links(cast: Cast):
    for number in range(3):
        cast.owner.post("/fakeapi/v1/posts/create/", {"title": f"t{number}", "body": "b"})
    body = cast.staff.get("/api/v1/changes/?model=posts.post&limit=1&offset=1").json()
    assert "model=posts.post" in body["next"]
    assert body["count"] == 3


def test_a_large_table_is_not_counted(
    cast: Cast, followers: str, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries
):
    monkeypatch.setattr("lockstep.rest.paging.limits.QUICKLY_COUNTED", 10)
    with django_assert_num_queries(5):  # session, person, a count that stops, the estimate, the page
        answer = cast.staff.get(f"{followers}?offset=0&limit=5")
    assert answer["X-Count"] == "estimated"
    assert answer.json()["count"] >= 11
    assert answer.json()["next"]


@pytest.mark.parametrize("query", ["offset=-1", "offset=x", "offset=10001", "offset=0&limit=0", "offset=0&limit=501"])
def test_invalid_offsets_and_limits_are_400(cast: Cast, followers: str, query: str):
    assert cast.staff.get(f"{followers}?{query}").status_code == 400


@pytest.mark.parametrize("by", ["offset=0", ""])
def test_a_large_table_is_counted_where_an_exact_count_is_asked_for(
    cast: Cast, followers: str, monkeypatch: pytest.MonkeyPatch, by: str
):
    monkeypatch.setattr("lockstep.rest.paging.limits.QUICKLY_COUNTED", 10)
    exact, estimated = (cast.staff.get(f"{followers}?limit=5&count={kind}&{by}") for kind in ("exact", "estimated"))
    assert (exact.json()["count"], "X-Count" in exact) == (25, False)
    assert estimated["X-Count"] == "estimated"
