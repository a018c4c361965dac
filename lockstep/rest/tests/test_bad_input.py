"""Invalid requests are 4xx with problem+json, and never 500."""

import json

import pytest
from django.test import Client
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure

from backend.posts.models import Post
from tests.support import Cast

pytestmark = pytest.mark.django_db

CREATE = "/fakeapi/v1/posts/create/"
GOOD = {"title": "t", "body": "b"}


def assert_problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content[:500]
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert isinstance(problem["errors"], list)
    return problem


def send(cast: Cast, body: bytes, content_type: str = "application/json"):
    return cast.owner.client.post(CREATE, body, content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"title": "t", "body": "b",}',
        b'{"title": NaN, "body": "b"}',
        b"\xff\xfe",
        b'{"title": "\xc3\x28", "body": "b"}',
        b'{"title": "\\ud800", "body": "b"}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    ],
    ids=["empty", "cut", "comma", "nan", "utf-16", "utf-8", "surrogate", "deep list", "deep object"],
)
def test_malformed_json_is_400(cast: Cast, body: bytes):
    assert_problem(send(cast, body), 400)


@pytest.mark.parametrize("body", [[], "text", 7, None, True, [GOOD]])
def test_json_that_is_not_an_object_is_400(cast: Cast, body: object):
    assert_problem(send(cast, json.dumps(body).encode()), 400)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": None}, "title"),
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": ["t"]}, "title"),
        ({"title": {"t": 1}}, "title"),
        ({"title": True}, "title"),
        ({"title": "t\0t"}, "title"),
        ({"title": "t" * 1001}, "title"),
        ({"body": "b" * 100_001}, "body"),
        ({"body": "\0"}, "body"),
        ({"colour": "red"}, "colour"),
        ({"__proto__": {}}, "__proto__"),
        ({"number": 5}, "number"),
    ],
)
def test_a_field_that_is_wrong_is_named(cast: Cast, change: dict, field: str):
    problem = assert_problem(cast.owner.post(CREATE, GOOD | change), 400)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert not Post.objects.exists()


def test_missing_fields_are_all_named(cast: Cast):
    problem = assert_problem(cast.owner.post(CREATE, {}), 400)
    assert {error["field"] for error in problem["errors"]} == {"title", "body"}


def test_a_body_of_10_megabytes_is_413(cast: Cast):
    assert_problem(send(cast, b'{"title": "t", "body": "' + b"b" * 10_000_000 + b'"}'), 413)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"]
)
def test_another_content_type_is_415(cast: Cast, content_type: str):
    assert_problem(send(cast, b"title=t", content_type), 415)


@pytest.mark.parametrize("number", [0, 2**31, 2**63 - 1, 2**63, 2**64, 10**40, int("9" * 4000)])
def test_an_id_that_nothing_has_is_404_however_large(cast: Cast, number: int):
    assert_problem(cast.owner.get(f"/fakeapi/v1/posts/{number}/"), 404)
    assert_problem(cast.owner.put(f"/fakeapi/v1/posts/update/{number}/", GOOD), 404)
    assert_problem(cast.owner.delete(f"/fakeapi/v1/posts/delete/{number}/"), 404)
    assert_problem(cast.owner.get(f"/fakeapi/v1/posts/{number}/comments/"), 404)
    assert_problem(cast.owner.get(f"/fakeapi/v1/posts/{number}/comments/{number}/"), 404)
    words = {"name": "n", "email": "e@example.com", "body": "b"}
    assert_problem(cast.owner.post(f"/fakeapi/v1/posts/{number}/comments/create/", words), 404)


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/fakeapi/v1/posts/x/", "/fakeapi/v1/posts/-1/", "/fakeapi/v1/posts/1%00/", "/auth/x", "/%ff"],
)
def test_an_unknown_address_is_404(cast: Cast, path: str):
    assert_problem(cast.owner.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", "/fakeapi/v1/posts/"),
        ("get", CREATE),
        ("patch", "/fakeapi/v1/posts/update/1/"),
        ("post", "/fakeapi/v1/posts/delete/1/"),
        ("get", "/auth/"),
        ("delete", "/auth/"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(cast: Cast, method: str, path: str):
    answer = getattr(cast.owner.client, method)(path)
    assert_problem(answer, 405)
    assert answer["Allow"]


def test_an_id_of_five_thousand_digits_is_404(cast: Cast):
    assert_problem(cast.owner.get(f"/fakeapi/v1/posts/{'9' * 5000}/"), 404)


@pytest.mark.parametrize("value", ["%FF", "a%C3", "%ED%A0%80", "%C3%A4%FF"])
def test_parameter_that_is_not_utf_8_is_400_in_plain_words(cast: Cast, value: str):
    problem = assert_problem(cast.owner.get(f"/api/v1/products/?search=%C3%A4&tag={value}"), 400)
    assert problem["errors"] == [{"field": "tag", "detail": "Must be UTF-8, percent-encoded."}]


def test_replacement_character_is_a_character_like_any_other(cast: Cast):
    assert cast.owner.get("/api/v1/products/?search=%C3%A4&tag=a%EF%BF%BD+b").status_code == 200


def test_too_many_parameters_are_400(cast: Cast):
    assert_problem(cast.owner.get("/fakeapi/v1/posts/?" + "&".join(f"p{n}=1" for n in range(1_100))), 400)


def test_a_chunked_body_is_411(cast: Cast):
    assert_problem(cast.owner.client.post(CREATE, headers={"transfer-encoding": "chunked"}), 411)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("put", "/nothing", 404), ("post", "/nothing", 404), ("delete", "/healthz", 405), ("post", "/readyz", 405)],
)
def test_unsafe_methods_need_no_csrf_token(method: str, path: str, status: int):
    client = Client(enforce_csrf_checks=True)
    assert_problem(getattr(client, method)(path), status)


def test_a_number_that_was_taken_past_the_sequence_is_a_conflict(cast: Cast):
    made = cast.owner.post(CREATE, GOOD).json()["id"]
    Post.objects.create(number=made + 1, **GOOD)
    assert_problem(cast.owner.post(CREATE, GOOD), 409)
    assert cast.owner.post(CREATE, GOOD).status_code == 201


def test_an_unknown_host_is_400():
    assert_problem(Client(raise_request_exception=False).get("/problems/", headers={"host": "evil.example"}), 400)


def test_a_bug_is_a_500_with_the_request_id_only(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    def mistaken(**arguments: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("backend.posts.actions.create_post", mistaken)
    answer = cast.owner.post(CREATE, GOOD)
    problem = assert_problem(answer, 500)
    assert "secret" not in json.dumps(problem)
    assert answer["X-Request-ID"]


def test_a_database_that_does_not_answer_is_a_503_with_retry_after(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    from django.db import OperationalError

    def unreachable(**arguments: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("backend.posts.actions.create_post", unreachable)
    answer = cast.owner.post(CREATE, GOOD)
    assert_problem(answer, 503)
    assert answer["Retry-After"] == "2"


@pytest.mark.parametrize("cause", [DeadlockDetected, LockNotAvailable, SerializationFailure])
def test_conflicting_requests_are_503_with_a_sentence_about_them(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, cause: type
):
    from django.db import OperationalError

    def interrupted(**arguments: object) -> None:
        raise OperationalError("in the way") from cause("in the way")

    monkeypatch.setattr("backend.posts.actions.create_post", interrupted)
    answer = cast.owner.post(CREATE, GOOD)
    assert assert_problem(answer, 503)["detail"].startswith("A concurrent request writes the same rows.")
    assert answer["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1", True), ("", False), ("x" * 129, False), ("a b", False), ("a\tb", False)]
)
def test_a_valid_request_id_of_the_client_is_used(client: Client, sent: str, kept: bool):
    answer = client.get("/healthz", headers={"x-request-id": sent})
    assert (answer["X-Request-ID"] == sent) is kept
    assert answer["X-Request-ID"]
