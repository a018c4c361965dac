"""The real JSONPlaceholders and the stand-in are held to the same facts, on the wire and through the client.

Where the kinds differ by nature the expectation is a table by mode:

- persistent: json-server 0.17.4, which keeps what is written
- amnesiac: npm jsonplaceholder 0.3.3 (json-server 0.8.23), which forgets every write
- public: what jsonplaceholder.typicode.com runs (json-server 0.17 told to pretend), which forgets too
"""

import asyncio
import re

import httpx
import pytest

from backend.providers.jsonplaceholder import JsonPlaceholder
from lockstep.http.errors import NotFound, ProviderError, Refused, ServerError
from tests.contract.providers import start_json_server
from tests.support import eventually

MISSING = 987654
JSON = "application/json; charset=utf-8"
AWKWARD = 'a&b=c #?+%2F é "q" \\ [x]\n{"id": 1}'

TAKEN_ID = {"persistent": 500, "amnesiac": 201, "public": 201}
MISSING_PUT = {"persistent": 404, "amnesiac": 404, "public": 500}
MISSING_PATCH = {"persistent": 404, "amnesiac": 404, "public": 200}
MISSING_DELETE = {"persistent": 404, "amnesiac": 404, "public": 200}
MALFORMED = {"persistent": 400, "amnesiac": 400, "public": 500}
TOO_LARGE = {"persistent": 413, "amnesiac": 413, "public": 500}
NUMBER_IN_TEXT = {"persistent": "5", "amnesiac": 5, "public": "5"}
NESTED_PARENT = {"persistent": "2", "amnesiac": 2, "public": "2"}
TELLS_LOCATION = {"persistent": True, "amnesiac": False, "public": True}


def through_client(provider, work):
    async def run():
        async with JsonPlaceholder(provider.url) as client:
            return await work(client)

    return asyncio.run(run())


# Reading


def test_an_object(provider):
    answer = provider.http.get("/posts/1")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON
    assert list(answer.json()) == ["userId", "id", "title", "body"]
    assert answer.text.startswith('{\n  "userId": 1,\n  "id": 1,\n  "title": "')
    assert list(provider.http.get("/comments/7").json()) == ["postId", "id", "name", "email", "body"]


@pytest.mark.parametrize(
    "path",
    [f"/posts/{MISSING}", "/posts/abc", "/posts/01", "/nosuch", "/posts/1/nosuch", "/posts/1/comments/3"],
)
def test_a_missing_object_is_404_with_an_empty_object(provider, path):
    answer = provider.http.get(path)
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (404, "{}", JSON)


def test_a_list_is_a_bare_indented_array(provider):
    answer = provider.http.get("/posts")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.text.startswith('[\n  {\n    "userId": 1,\n    "id": 1,\n    "title": "')
    assert answer.text.endswith("\n  }\n]")
    assert "X-Total-Count" not in answer.headers
    assert len(answer.json()) >= 100
    assert provider.http.get("/posts/").json() == answer.json()


def test_head_is_get_without_the_body(provider):
    answer = provider.http.head("/posts/1")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("id=3", [3]),
        ("id=3&id=2", [2, 3]),
        ("userId=1&id=2&id=30", [2]),
        ("id=2&nosuch=1", [2]),
        ("id=2&nosuch=", [2]),
        (f"id={MISSING}", []),
        ("id=abc", []),
        ("userId=01", []),
        ("title=", []),
    ],
)
def test_filters(provider, query, ids):
    answer = provider.http.get(f"/posts?{query}")
    assert answer.status_code == 200
    assert [row["id"] for row in answer.json()] == ids


def test_filter_by_text(provider):
    rows = provider.http.get("/posts").json()
    lines = next(row for row in rows if "\n" in row.get("body", ""))
    found = provider.http.get("/posts", params={"title": lines["title"], "body": lines["body"]}).json()
    assert found == [row for row in rows if (row.get("title"), row.get("body")) == (lines["title"], lines["body"])]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("_limit=3", slice(0, 3)),
        ("_limit=0", slice(0, 0)),
        ("_limit=abc", slice(0, 0)),
        ("_limit=-5", slice(0, -5)),
        ("_limit=3x", slice(0, 3)),
        ("_start=5&_limit=3", slice(5, 8)),
        ("_start=98&_limit=5", slice(98, 103)),
        ("_start=-3&_end=2000", slice(-3, 2000)),
        ("_start=2&_end=4", slice(2, 4)),
        ("_start=5&_end=3", slice(0, 0)),
        ("_end=-95", slice(0, -95)),
        ("_end=abc", slice(0, 0)),
        ("_limit=2&_end=1", slice(0, 1)),
        ("_page=2", slice(10, 20)),
        ("_page=abc", slice(0, 10)),
        ("_page=0&_limit=2", slice(0, 2)),
        ("_page=2&_limit=abc", slice(10, 20)),
        ("_page=1&_limit=0", slice(0, 10)),
        ("_page=1&_end=1", slice(0, 10)),
        ("_page=20&_limit=5", slice(95, 100)),
        ("_page=999", slice(0, 0)),
    ],
)
def test_paging(provider, query, part):
    everything = provider.ids("posts")
    answer = provider.http.get(f"/posts?{query}")
    assert [row["id"] for row in answer.json()] == everything[part]
    assert answer.headers["X-Total-Count"] == str(len(everything))
    exposed = "X-Total-Count, Link" if "_page" in query else "X-Total-Count"
    assert answer.headers["Access-Control-Expose-Headers"] == exposed
    assert ("Link" in answer.headers) is ("_page" in query)


@pytest.mark.parametrize("query", ["_start=5", "_page=", "_limit="])
def test_invalid_paging_is_ignored(provider, query):
    answer = provider.http.get(f"/posts?{query}")
    assert [row["id"] for row in answer.json()] == provider.ids("posts")
    assert "X-Total-Count" not in answer.headers


@pytest.mark.parametrize(
    ("before", "page", "after", "links"),
    [
        ("userId=2&_limit=3&", 1, "", {"first": 1, "next": 2, "last": 4}),
        ("userId=2&_limit=3&", 2, "", {"first": 1, "prev": 1, "next": 3, "last": 4}),
        ("", 4, "&_limit=3&userId=2", {"first": 1, "prev": 3, "last": 4}),
        ("", 1, "&_limit=10&userId=2", {}),
        ("", 5, "&_limit=3&userId=2", {}),
        ("", 2, "&_limit=5&userId=2&page=2", {"first": 1, "prev": 1, "last": 2}),
    ],
)
def test_links(provider, before, page, after, links):
    answer = provider.http.get(f"/posts?{before}_page={page}{after}")
    expected = [f'<{provider.url}/posts?{before}_page={to}{after}>; rel="{name}"' for name, to in links.items()]
    assert answer.headers["Link"] == ", ".join(expected)
    assert answer.headers["X-Total-Count"] == "10"


def test_a_page_of_zero_makes_links_that_go_nowhere(provider):
    links = provider.http.get("/posts?_page=0&_limit=3&userId=2").headers["Link"]
    assert set(re.findall(r"_page=(\d)", links)) == {"0"}


def test_nested_lists(provider):
    answer = provider.http.get("/posts/3/comments")
    assert {row["postId"] for row in answer.json()} == {3}
    assert answer.json() == provider.http.get("/comments?postId=3").json()
    assert provider.http.get("/posts/3/comments?_limit=2").headers["X-Total-Count"] == str(len(answer.json()))
    gone = provider.http.get(f"/posts/{MISSING}/comments")
    assert (gone.status_code, gone.json()) == (200, [])


# Writing


def test_a_new_object_is_numbered_one_more_than_the_largest(provider):
    following = max(provider.ids("posts")) + 1
    answer = provider.http.post("/posts", json={"title": "t", "body": "é\n", "userId": 1})
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, JSON)
    assert answer.json() == {"title": "t", "body": "é\n", "userId": 1, "id": following}
    assert list(answer.json())[-1] == "id"
    if TELLS_LOCATION[provider.mode]:
        assert answer.headers["Location"] == f"{provider.url}/posts/{following}"
        assert answer.headers["Access-Control-Expose-Headers"] == "Location"
    else:
        assert "Location" not in answer.headers
    there = provider.http.get(f"/posts/{following}")
    assert there.status_code == (200 if provider.remembers else 404)


def test_unpersisted_creations_get_the_same_id(provider):
    first, second = provider.new_post()["id"], provider.new_post()["id"]
    assert (second == first) is not provider.remembers
    if not provider.remembers:
        assert first == 101


@pytest.mark.parametrize("number", [1, "1"])
def test_a_taken_id(provider, number):
    before = provider.http.get("/posts/1").json()
    answer = provider.http.post("/posts", json={"id": number, "title": "t", "body": "b", "userId": 1})
    assert answer.status_code == TAKEN_ID[provider.mode]
    if provider.mode == "persistent":
        assert answer.text.startswith("Error: Insert failed, duplicate id")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    else:
        assert answer.json()["id"] == {"amnesiac": 1, "public": 101}[provider.mode]
    assert provider.http.get("/posts/1").json() == before


def test_a_free_id_is_taken_as_it_comes_except_by_the_public_one(provider):
    wanted = max(provider.ids("posts")) + 50
    made = provider.new_post(id=wanted)
    assert made["id"] == (101 if provider.mode == "public" else wanted)
    if provider.remembers:
        assert provider.new_post()["id"] == wanted + 1


@pytest.mark.parametrize("nothing", [0, None, "", False])
def test_an_empty_id_is_replaced(provider, nothing):
    following = max(provider.ids("posts")) + 1
    assert provider.new_post(id=nothing)["id"] == following


def test_the_largest_id_comes_back_when_its_object_is_deleted(provider):
    first = provider.new_post()["id"]
    provider.http.delete(f"/posts/{first}")
    assert provider.new_post()["id"] == first


@pytest.mark.parametrize("text", ['{"broken', "{'a': 1}", "5", '"text"', "null", '{"a": NaN}'])
@pytest.mark.parametrize(("method", "path"), [("POST", "/posts"), ("PUT", "/posts/1"), ("PATCH", "/posts/1")])
def test_malformed_json(provider, method, path, text):
    headers = {"Content-Type": "application/json"}
    answer = provider.http.request(method, path, content=text.encode(), headers=headers)
    assert answer.status_code == MALFORMED[provider.mode]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "SyntaxError" in answer.text


def test_other_bodies(provider):
    assert provider.http.post("/posts", data={"title": "form"}).json()["title"] == "form"
    plain = provider.http.post("/posts", content=b"title=x", headers={"Content-Type": "text/plain"})
    assert (plain.status_code, list(plain.json())) == (201, ["id"])
    assert list(provider.http.post("/posts").json()) == ["id"]


def test_a_body_above_ten_megabytes_is_refused(provider):
    answer = provider.http.post("/posts", json={"title": "x" * (10 * 1024 * 1024)})
    assert answer.status_code == TOO_LARGE[provider.mode]


def test_texts_that_look_like_numbers(provider):
    made = provider.http.post("/posts", json={"title": "5", "body": "05", "userId": 1}).json()
    assert made["title"] == NUMBER_IN_TEXT[provider.mode]
    assert made["body"] == "05"


def test_a_nested_post_names_its_parent(provider):
    answer = provider.http.post("/posts/2/comments", json={"name": "n", "postId": 5})
    assert (answer.status_code, answer.json()["postId"]) == (201, NESTED_PARENT[provider.mode])
    found = provider.http.get("/comments", params={"postId": 2, "name": "n"}).json()
    assert (answer.json() in found) is provider.remembers


def test_a_put_replaces_and_keeps_the_id(provider):
    name = provider.new_post()["id"] if provider.remembers else 2
    before = provider.http.get(f"/posts/{name}").json()
    answer = provider.http.put(f"/posts/{name}", json={"title": "replaced", "id": 1})
    assert (answer.status_code, answer.json()) == (200, {"title": "replaced", "id": name})
    after = provider.http.get(f"/posts/{name}").json()
    assert after == ({"title": "replaced", "id": name} if provider.remembers else before)


def test_a_patch_merges(provider):
    name = provider.new_post()["id"] if provider.remembers else 2
    before = provider.http.get(f"/posts/{name}").json()
    answer = provider.http.patch(f"/posts/{name}", json={"title": "changed", "extra": [1, {"a": None}]})
    changed = {**before, "title": "changed", "extra": [1, {"a": None}]}
    assert (answer.status_code, answer.json()) == (200, changed)
    assert provider.http.get(f"/posts/{name}").json() == (changed if provider.remembers else before)


def test_writes_to_a_missing_object(provider):
    put = provider.http.put(f"/posts/{MISSING}", json={"title": "t"})
    patch = provider.http.patch(f"/posts/{MISSING}", json={"title": "t"})
    delete = provider.http.delete(f"/posts/{MISSING}")
    assert put.status_code == MISSING_PUT[provider.mode]
    assert (patch.status_code, patch.json()) == (
        MISSING_PATCH[provider.mode],
        {"title": "t"} if provider.mode == "public" else {},
    )
    assert (delete.status_code, delete.json()) == (MISSING_DELETE[provider.mode], {})
    assert provider.http.get(f"/posts/{MISSING}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/posts"),
        ("PATCH", "/posts"),
        ("DELETE", "/posts"),
        ("POST", "/posts/1"),
        ("PUT", "/posts/1/comments"),
    ],
)
def test_methods_in_the_wrong_place(provider, method, path):
    answer = provider.http.request(method, path, json={})
    assert (answer.status_code, answer.text) == (404, "{}")


def test_a_deleted_post_takes_its_comments_along(provider):
    post = provider.new_post()["id"] if provider.remembers else 9
    comment = provider.http.post("/comments", json={"postId": post, "name": "n"}).json()["id"]
    answer = provider.http.delete(f"/posts/{post}")
    assert (answer.status_code, answer.text) == (200, "{}")
    gone = 404 if provider.remembers else 200
    assert provider.http.get(f"/posts/{post}").status_code == gone
    assert provider.http.get(f"/comments/{comment}").status_code == 404
    assert (provider.http.get(f"/posts/{post}/comments").json() == []) is provider.remembers
    assert provider.http.delete(f"/posts/{post}").status_code == gone


@pytest.mark.parametrize("deleted", ["comments/1", f"posts/{MISSING}"])
def test_any_delete_removes_objects_with_unknown_parents(provider, deleted):
    """Trap: where users are kept, a post of a user unknown to them, such as 99999942, does not live long."""
    if not provider.remembers:
        return
    stray = provider.new_post(userId=99999942)["id"]
    orphan = provider.http.post("/comments", json={"postId": MISSING, "name": "n"}).json()["id"]
    kept = provider.new_post(userId=10)["id"]
    provider.http.delete(f"/{deleted}")
    assert provider.http.get(f"/posts/{stray}").status_code == 404
    assert provider.http.get(f"/comments/{orphan}").status_code == 404
    assert provider.http.get(f"/posts/{kept}").status_code == 200


# The client


def test_client_streams_everything(provider):
    async def collect(client):
        async with client.stream("comments") as batches:
            return [row async for batch in batches for row in batch]

    assert through_client(provider, collect) == provider.http.get("/comments").json()


def test_client_streams_of_an_unknown_collection_raise(provider):
    async def collect(client):
        async with client.stream("nosuch") as batches:
            return [batch async for batch in batches]

    with pytest.raises(NotFound):
        through_client(provider, collect)


def test_client_gets(provider):
    assert through_client(provider, lambda client: client.get("posts", "3"))["id"] == 3
    assert through_client(provider, lambda client: client.get("posts", str(MISSING))) is None


def test_client_finds_its_object_where_writes_persist(provider):
    fields = {"title": AWKWARD, "body": "long " * 5000, "userId": 1}

    async def work(client):
        made = [await client.create("posts", {**fields, "id": 1}) for _ in range(2)]
        return made, [str(row["id"]) for row in await client.find("posts", fields)]

    made, found = through_client(provider, work)
    assert found == (made if provider.remembers else [])
    assert all(name.isdigit() for name in made)


def test_client_finds_by_a_field_that_the_provider_does_not_know(provider):
    assert through_client(provider, lambda client: client.find("posts", {"id": 2, "nosuch": "x"})) == []
    assert len(through_client(provider, lambda client: client.find("comments", {"postId": "4"}))) == 5


def test_client_updates(provider):
    async def work(client):
        name = await client.create("posts", {"title": "a", "userId": 1}) if provider.remembers else "2"
        await client.update("posts", name, {"title": "b"})
        return await client.get("posts", name)

    assert (through_client(provider, work)["title"] == "b") is provider.remembers


def test_client_update_of_a_missing_object_raises_not_found(provider):
    with pytest.raises(NotFound) as caught:
        through_client(provider, lambda client: client.update("posts", str(MISSING), {"title": "b"}))
    assert caught.value.retryable is False


def test_client_deletion_of_a_missing_object_succeeds(provider):
    async def work(client):
        name = await client.create("posts", {"title": "a", "userId": 1}) if provider.remembers else "2"
        await client.delete("posts", name)
        await client.delete("posts", name)
        await client.delete("posts", str(MISSING))
        return await client.get("posts", name)

    assert (through_client(provider, work) is None) is provider.remembers


def test_client_refusals_are_permanent_and_failures_are_not(provider):
    with pytest.raises(ProviderError) as caught:
        through_client(provider, lambda client: client.create("posts", {"title": "x" * (10 << 20)}))
    failing = TOO_LARGE[provider.mode] == 500
    assert isinstance(caught.value, ServerError if failing else Refused)
    assert (caught.value.retryable, caught.value.outcome_unknown) == (failing, failing)


@pytest.mark.needs("node")
@pytest.mark.needs("npm-packages")
def test_json_server_keeps_its_data_over_a_kill(tmp_path):
    """Trap: it answers before it has written its file, so that a kill right after a 201 loses the object."""
    with start_json_server(tmp_path) as server:
        made = httpx.post(f"{server.url}/posts", json={"title": "kept"}, timeout=30).json()
        eventually(lambda: '"title": "kept"' in (tmp_path / "db.json").read_text(), "the object in its file")
        server.kill()
    with start_json_server(tmp_path) as server:
        assert httpx.get(f"{server.url}/posts/{made['id']}", timeout=30).json() == made
