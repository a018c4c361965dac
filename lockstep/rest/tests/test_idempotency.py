"""A POST with an Idempotency-Key is carried out once and answered alike, whatever happens in between."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from backend.accounts.models import User
from backend.posts.models import Post
from lockstep.rest.models import IdempotencyRecord
from lockstep.rest.subscribers import remove_expired
from tests.support import WAIT_TIMEOUT, Cast, Person

pytestmark = pytest.mark.django_db

CREATE = "/fakeapi/v1/posts/create/"
WEBHOOKS = "/api/v1/webhooks/"
GOOD = {"title": "t", "body": "b"}


def send(person: Person, key: str = "key-1", body: object = GOOD, path: str = CREATE):
    return person.client.post(path, body, content_type="application/json", headers={"idempotency-key": key})


def test_a_repeated_request_gets_the_same_bytes_and_is_not_carried_out(cast: Cast):
    first, second = send(cast.owner), send(cast.owner)
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert second["Content-Type"] == first["Content-Type"]
    assert (first.get("Idempotent-Replayed"), second["Idempotent-Replayed"]) == (None, "true")
    assert first["X-Request-ID"] != second["X-Request-ID"]
    assert Post.objects.count() == 1


def test_a_new_secret_key_forgets_no_request_as_long_as_the_old_one_is_named(cast: Cast, settings):
    """Processes with either order of the two keys work side by side while it is being replaced."""
    old = settings.SECRET_KEY
    first = send(cast.owner)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 60, [old]
    assert send(cast.owner).content == first.content
    second = send(cast.owner, key="key-2")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = old, ["n" * 60]
    assert send(cast.owner, key="key-2").content == second.content
    assert send(cast.owner, key="key-2", body={"title": "other", "body": "b"}).status_code == 422
    assert Post.objects.count() == 2


def test_requests_without_a_key_are_all_carried_out(cast: Cast):
    for _ in range(2):
        cast.owner.post(CREATE, GOOD)
    assert Post.objects.count() == 2


@pytest.mark.parametrize("paths", [(CREATE, CREATE.rstrip("/")), (CREATE.rstrip("/"), CREATE)])
def test_a_path_with_and_without_its_final_slash_is_one_request(cast: Cast, paths: tuple[str, str]):
    first, second = (send(cast.owner, path=path) for path in paths)
    assert (first.status_code, second.status_code, second["Idempotent-Replayed"]) == (201, 201, "true")
    assert Post.objects.count() == 1


@pytest.mark.parametrize("change", [{"body": {"title": "other", "body": "b"}}, {"path": "/api/v1/defects/"}])
def test_the_same_key_for_another_request_is_422(cast: Cast, change: dict):
    send(cast.owner)
    refused = send(cast.owner, **change)
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/key-reused"
    assert Post.objects.count() == 1


@pytest.mark.parametrize(("one", "other"), [("k", '"k"'), ('a"b', '"a\\"b"'), ("a\\b", '"a\\\\b"')])
def test_a_key_in_quotes_is_the_key(cast: Cast, one: str, other: str):
    first, second = send(cast.owner, one), send(cast.owner, other)
    assert first.content == second.content
    assert second["Idempotent-Replayed"] == "true"
    assert Post.objects.count() == 1


def test_keys_of_one_user_do_not_affect_another(cast: Cast):
    assert send(cast.owner).json()["id"] != send(cast.colleague).json()["id"]


def test_a_refused_request_can_be_corrected_under_its_key(cast: Cast):
    assert send(cast.owner, body={"title": ""}).status_code == 400
    assert send(cast.owner).status_code == 201
    assert Post.objects.count() == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
def test_an_invalid_key_is_400(cast: Cast, key: str):
    assert send(cast.owner, key).status_code == 400
    assert not Post.objects.exists()


def test_a_replayed_secret_is_encrypted_in_the_database(cast: Cast, settings):
    settings.DEBUG = True
    body = {"url": "https://example.com/x", "events": ["posts.post.*"]}
    first, second = (send(cast.owner, body=body, path=WEBHOOKS) for _ in range(2))
    assert first.json()["secret"] == second.json()["secret"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT a::text, convert_from(body, 'LATIN1') FROM lockstep_rest_idempotencyrecord a")
        assert first.json()["secret"] not in "".join(cursor.fetchone())


def test_anonymous_keys_belong_to_an_address(client: Client, db: None):
    User.objects.create_user("someuser", password="right")
    credentials = {"username": "someuser", "password": "right"}

    def sign_in(address: str) -> str:
        headers = {"idempotency-key": "1"}
        client = Client(REMOTE_ADDR=address)
        return client.post("/auth/", credentials, content_type="application/json", headers=headers).json()["token"]

    assert sign_in("198.51.100.1") == sign_in("198.51.100.1") != sign_in("198.51.100.2")


def test_after_a_day_a_key_is_new(cast: Cast):
    send(cast.owner)
    IdempotencyRecord.objects.update(created=timezone.now() - timedelta(hours=24, seconds=1))
    assert send(cast.owner).status_code == 201
    assert Post.objects.count() == 2
    IdempotencyRecord.objects.update(created=timezone.now() - timedelta(hours=24, seconds=1))
    send(cast.owner, "another")
    remove_expired()
    assert IdempotencyRecord.objects.count() == 1


def test_a_failed_request_stores_no_response(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    def broken(**_: object) -> None:
        Post.objects.create(title="half", body="done")
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("backend.posts.actions.create_post", broken)
        assert send(cast.owner).status_code == 500
    assert not Post.objects.exists()
    assert send(cast.owner).status_code == 201


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_fifty_concurrent_requests_have_one_effect(cast: Cast):
    answers: list[tuple[int, bytes]] = []
    begin = threading.Barrier(50)

    def ask() -> None:
        try:
            begin.wait()
            answer = send(cast.owner)
            answers.append((answer.status_code, answer.content if answer.status_code == 201 else b""))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) <= {201, 409}
    assert statuses[201] >= 1
    assert len({content for status, content in answers if status == 201}) == 1
    assert Post.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_request_in_progress_is_409_with_retry_after(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    from backend.posts import actions

    begun, may_end, create = threading.Event(), threading.Event(), actions.create_post

    def slow(**values: str) -> Post:
        begun.set()
        assert may_end.wait(WAIT_TIMEOUT)
        return create(**values)

    monkeypatch.setattr(actions, "create_post", slow)

    def ask() -> None:
        try:
            assert send(cast.owner).status_code == 201
        finally:
            connection.close()

    first = threading.Thread(target=ask)
    first.start()
    assert begun.wait(WAIT_TIMEOUT)
    refused = send(cast.owner)
    may_end.set()
    first.join()
    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/in-flight"
    assert refused["Retry-After"] == "1"
    assert send(cast.owner)["Idempotent-Replayed"] == "true"
