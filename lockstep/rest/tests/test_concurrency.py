"""ETag, If-None-Match and If-Match: no write replaces a version that its client has not read."""

import threading

import psycopg
import pytest
from django.db import connection

from backend.accounts.models import User
from conftest import database_url
from tests.support import Cast, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

ME = "/api/v1/users/me/"


def patch(cast: Cast, name: str, **headers: str):
    body = {"first_name": name}
    return cast.owner.client.patch(ME, body, content_type="application/json", headers=headers)


def test_an_etag_is_the_version_of_the_row_and_changes_with_it(cast: Cast):
    first = cast.owner.get(ME)["ETag"]
    assert cast.owner.get(ME)["ETag"] == first
    changed = patch(cast, "new")
    assert changed["ETag"] != first
    assert cast.owner.get(ME)["ETag"] == changed["ETag"]
    with connection.cursor() as cursor:  # for every writer
        cursor.execute("UPDATE accounts_user SET last_name = 'x' WHERE id = %s", [cast.owner.user.pk])
    assert cast.owner.get(ME)["ETag"] not in (first, changed["ETag"])


def test_a_write_that_changes_nothing_changes_no_version(cast: Cast):
    assert patch(cast, "new")["ETag"] == patch(cast, "new")["ETag"]


def test_a_client_cannot_set_a_version(cast: Cast):
    User.objects.filter(pk=cast.owner.user.pk).update(version=99, first_name="x")
    assert User.objects.get(pk=cast.owner.user.pk).version == 2


@pytest.mark.parametrize(
    "condition", ["{}", "W/{}", '"x", {}', "*", '"x" ,W/"y",{}', ",, {},", '"x",, \t,{} ,', ', W/"x" , {}']
)
def test_a_matching_if_none_match_is_304(cast: Cast, condition: str):
    tag = cast.owner.get(ME)["ETag"]
    answer = cast.owner.client.get(ME, headers={"if-none-match": condition.format(tag)})
    assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag)


def test_another_if_none_match_is_200(cast: Cast):
    assert cast.owner.client.get(ME, headers={"if-none-match": '"x"'}).status_code == 200


@pytest.mark.parametrize("condition", ['"x"', '"x", , "y"', "W/{}"])
def test_a_read_of_another_version_is_412(cast: Cast, condition: str):
    tag = cast.owner.get(ME)["ETag"]
    refused = cast.owner.client.get(ME, headers={"if-match": condition.format(tag), "if-none-match": tag})
    assert (refused.status_code, refused.json()["type"]) == (412, "/problems/out-of-date")


@pytest.mark.parametrize("condition", ["{}", '"x",,{}', "*"])
def test_a_read_of_the_expected_version_is_200(cast: Cast, condition: str):
    tag = cast.owner.get(ME)["ETag"]
    assert cast.owner.client.get(ME, headers={"if-match": condition.format(tag)}).status_code == 200


@pytest.mark.parametrize("condition", [", ,", "", '"a" "b"', '"a"b"'])
def test_a_list_of_no_tags_is_400(cast: Cast, condition: str):
    assert cast.owner.client.get(ME, headers={"if-none-match": condition}).status_code == 400


@pytest.mark.parametrize("condition", ["{}", '"x", {}', "*"])
def test_a_change_of_the_current_version_is_made(cast: Cast, condition: str):
    tag = cast.owner.get(ME)["ETag"]
    assert patch(cast, "new", **{"if-match": condition.format(tag)}).status_code == 200


@pytest.mark.parametrize("condition", ['"x"', "W/{}", '"x", "y"'])
def test_a_change_of_something_else_is_412_and_nothing_happens(cast: Cast, condition: str):
    tag = cast.owner.get(ME)["ETag"]
    for refused in (
        patch(cast, "new", **{"if-match": condition.format(tag)}),
        cast.owner.client.delete(
            ME,
            {"password": "owner-password"},
            content_type="application/json",
            headers={"if-match": condition.format(tag)},
        ),
    ):
        assert refused.status_code == 412
        assert refused.json()["type"] == "/problems/out-of-date"
    assert cast.owner.get(ME)["ETag"] == tag


@pytest.mark.parametrize("condition", ["", "x", '"x', '"a" "b"', ",", "7", '"\x00"'])
def test_an_invalid_condition_is_400(cast: Cast, condition: str):
    assert patch(cast, "new", **{"if-match": condition}).status_code == 400
    assert cast.owner.client.get(ME, headers={"if-none-match": condition}).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_a_change_during_another_change_is_412(cast: Cast, database: psycopg.Connection):
    """An object that is not the user: every write locks the row of its user, to confirm the right to it."""
    made = cast.owner.post("/api/v1/webhooks/", {"url": "https://example.com/x", "events": ["posts.post.*"]})
    path, tag = f"/api/v1/webhooks/{made.json()['id']}/", made["ETag"]
    statuses: list[int] = []

    def change() -> None:
        sent = {"content_type": "application/json", "headers": {"if-match": tag}}
        try:
            statuses.append(cast.owner.client.patch(path, {"description": "mine"}, **sent).status_code)
        finally:
            connection.close()

    thread = threading.Thread(target=change)
    with psycopg.connect(database_url()) as other:
        other.execute("UPDATE lockstep_webhooks_endpoint SET description = 'theirs' WHERE id = %s", [made.json()["id"]])
        thread.start()
        eventually(lambda: any_lock_waiter(database))
    thread.join()
    assert statuses == [412]
    assert cast.owner.get(path).json()["description"] == "theirs"


def test_webhook_endpoints_have_versions(cast: Cast, settings):
    settings.DEBUG = True
    body = {"url": "https://example.com/x", "events": ["posts.post.*"]}
    made = cast.owner.post("/api/v1/webhooks/", body)
    path = f"/api/v1/webhooks/{made.json()['id']}/"
    assert cast.owner.get(path)["ETag"] == made["ETag"]
    tag = cast.owner.client.post(f"{path}rotate/")["ETag"]
    assert cast.owner.get(path)["ETag"] == tag != made["ETag"]
    change = {"description": "new"}
    stale = cast.owner.client.patch(path, change, content_type="application/json", headers={"if-match": '"0"'})
    assert stale.status_code == 412
    fresh = cast.owner.client.patch(path, change, content_type="application/json", headers={"if-match": tag})
    assert (fresh.status_code, fresh["ETag"] != tag) == (200, True)
    assert cast.owner.client.delete(path, headers={"if-match": tag}).status_code == 412
    assert cast.owner.client.delete(path, headers={"if-match": fresh["ETag"]}).status_code == 204
