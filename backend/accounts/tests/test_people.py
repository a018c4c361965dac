"""Registering, one's own account, and what other users see of it."""

import re

import pytest
from django.db import connection
from django.test import Client

from backend.accounts import sessions
from backend.accounts.models import Follow, LoginAttemptCount, Session, User
from backend.accounts.throttling import PAIR
from lockstep.changes.models import LoggedChange
from lockstep.delivery.models import Subscription
from lockstep.webhooks.models import Endpoint
from tests.support import Cast, Person

pytestmark = pytest.mark.django_db

USERS = "/api/v1/users/"
ME = f"{USERS}me/"
PASSWORD = "correct horse battery"


def register(client: Client, **body: object):
    return client.post(f"{USERS}register/", {"password": PASSWORD, **body}, content_type="application/json")


def fields_of(answer) -> list[str]:
    assert answer.status_code == 400, answer.content
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "username", "email"),
    [
        ({"username": "new"}, "new", ""),
        ({"username": "new", "email": "new@example.com"}, "new", "new@example.com"),
    ],
)
def test_registering_answers_with_the_profile(client: Client, body: dict, username: str, email: str):
    answer = register(client, **body, first_name="N", last_name="W")
    assert answer.status_code == 201
    profile = answer.json()
    assert (profile["username"], profile["email"], profile["first_name"]) == (username, email, "N")
    assert "password" not in profile
    assert answer["ETag"]
    user = User.objects.get(username=username)
    assert user.check_password(PASSWORD)
    assert LoggedChange.objects.get(model="accounts.user").actor == f"user:{user.pk}"
    signed_in = client.post("/auth/", {"username": username, "password": PASSWORD}, content_type="application/json")
    assert signed_in.status_code == 200


def test_an_address_alone_becomes_no_public_name(cast: Cast, client: Client):
    profile = register(client, email="New@example.com").json()
    assert profile["email"] == "New@example.com"
    assert re.fullmatch("user-[0-9a-f]{12}", profile["username"])
    shown = cast.outsider.get(f"{USERS}{profile['number']}/")
    assert b"example.com" not in shown.content
    body = {"email": "new@EXAMPLE.com", "password": PASSWORD}
    pair = client.post("/api/v1/auth/token/", body, content_type="application/json").json()
    headers = {"authorization": f"Bearer {pair['access']}"}
    renamed = client.patch(ME, {"username": "chosen"}, content_type="application/json", headers=headers)
    assert renamed.json()["username"] == "chosen"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "non_field_errors"),
        ({"username": ""}, "username"),
        ({"username": "has space"}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"username": "victim@example.com"}, "username"),
        ({"username": "victim@example.com", "email": "mine@example.com"}, "username"),
        ({"username": "mine@example.com", "email": "mine@example.com"}, "username"),
        ({"username": "OWNER"}, "username"),
        ({"username": "my.email"}, "username"),
        ({"username": "new", "email": "no address"}, "email"),
        ({"username": "new", "email": "OWNER@example.com"}, "email"),
        ({"username": "new", "password": "1234"}, "password"),
        ({"username": "new", "password": "password"}, "password"),
        ({"username": "magnificent", "password": "magnificent1"}, "password"),
        ({"username": "new", "is_staff": True}, "is_staff"),
        ({"username": "new", "number": 1}, "number"),
        ({"username": "new", "id": "x"}, "id"),
    ],
)
def test_invalid_registrations_are_400(client: Client, body: dict, field: str):
    User.objects.create_user("owner", "owner@example.com")
    User.objects.create_user("my.email")
    assert fields_of(register(client, **body)) == [field]
    assert User.objects.count() == 2


def test_the_frozen_route_registers_by_name(client: Client):
    body = {"name": "user1", "password": "123abc#$%"}
    answer = client.post("/api/register/", body, content_type="application/json")
    assert answer.status_code == 201
    assert answer.json() == {"id": User.objects.get().number, "name": "user1"}
    assert fields_of(client.post("/api/register/", body, content_type="application/json")) == ["name"]
    weak = client.post("/api/register/", {"name": "user2", "password": "1234"}, content_type="application/json")
    assert fields_of(weak) == ["password"]


def test_ones_own_profile(cast: Cast):
    profile = cast.owner.get(ME).json()
    assert (profile["username"], profile["number"]) == ("owner", cast.owner.user.number)
    changed = cast.owner.client.patch(
        ME, {"first_name": "O", "email": "o@example.com"}, content_type="application/json"
    )
    assert changed.status_code == 200
    assert cast.owner.get(ME).json() == changed.json()
    assert changed.json()["email"] == "o@example.com"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "colleague"}, "username"),
        ({"username": "Colleague"}, "username"),
        ({"username": "x@example.com"}, "username"),
        ({"is_staff": True}, "is_staff"),
        ({"password": "x"}, "password"),
        ({"is_superuser": True}, "is_superuser"),
    ],
)
def test_a_profile_refuses_other_fields(cast: Cast, body: dict, field: str):
    assert fields_of(cast.owner.client.patch(ME, body, content_type="application/json")) == [field]
    user = User.objects.get(pk=cast.owner.user.pk)
    assert (user.is_staff, user.is_superuser, user.username) == (False, False, "owner")


def change_password(person: Person, current: str, new: str, method: str = "post", **more: object):
    body = {"current_password": current, "new_password": new, **more}
    return getattr(person.client, method)(f"{ME}password/", body, content_type="application/json")


@pytest.mark.parametrize("method", ["post", "put"])
def test_a_new_password_signs_out_everywhere_else(cast: Cast, client: Client, method: str):
    elsewhere = sessions.open_pair(cast.owner.user)
    assert change_password(cast.owner, "owner-password", PASSWORD, method).status_code == 204
    assert cast.owner.get(ME).status_code == 200
    assert client.get(ME, headers={"authorization": f"Bearer {elsewhere.access}"}).status_code == 401
    assert cast.colleague.get(ME).status_code == 200
    for password, status in (("owner-password", 401), (PASSWORD, 200)):
        body = {"username": "owner", "password": password}
        assert client.post("/auth/", body, content_type="application/json").status_code == status


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [("wrong", PASSWORD, "current_password"), ("owner-password", "1234", "new_password")],
)
def test_a_password_is_not_changed_by_invalid_bodies(cast: Cast, current: str, new: str, field: str):
    assert fields_of(change_password(cast.owner, current, new)) == [field]
    assert User.objects.get(pk=cast.owner.user.pk).check_password("owner-password")


def test_a_token_does_not_allow_guessing_the_password(cast: Cast):
    answers = [change_password(cast.owner, f"guess {n}", PASSWORD).status_code for n in range(PAIR.number)]
    assert set(answers) == {400}
    stopped = change_password(cast.owner, "owner-password", PASSWORD)
    assert stopped.status_code == 429
    assert 0 < int(stopped["Retry-After"]) <= PAIR.seconds
    assert User.objects.get(pk=cast.owner.user.pk).check_password("owner-password")
    assert change_password(cast.colleague, "colleague-password", PASSWORD).status_code == 204


def test_thinking_of_a_good_password_may_take_many_tries(cast: Cast):
    for _ in range(PAIR.number + 1):
        assert fields_of(change_password(cast.owner, "owner-password", "1234")) == ["new_password"]


def test_other_methods_of_the_password_route_count_no_attempt(cast: Cast):
    assert [cast.owner.get(f"{ME}password/").status_code for _ in range(PAIR.number + 1)] == [405] * (PAIR.number + 1)
    assert not LoginAttemptCount.objects.exists()


def test_a_new_password_switches_webhooks_off_unless_they_are_kept(cast: Cast):
    hook = {"url": "https://example.com/hook", "events": ["posts.post.*"]}
    key = cast.owner.post("/api/v1/webhooks/", hook).json()["id"]
    assert change_password(cast.owner, "owner-password", PASSWORD, keep_webhooks=True).status_code == 204
    assert cast.owner.get(f"/api/v1/webhooks/{key}/").json()["active"] is True
    assert change_password(cast.owner, PASSWORD, f"{PASSWORD}!").status_code == 204
    shown = cast.owner.get(f"/api/v1/webhooks/{key}/").json()
    assert (shown["active"], shown["reason"]) == (False, "switched off when its owner's password was changed")
    assert Subscription.objects.get(name=f"webhook:{key}").state == "disabled"


def test_password_that_is_taken_away_switches_webhooks_off(cast: Cast):
    """As the admin's form does, which has a box for it."""
    hook = {"url": "https://example.com/hook", "events": ["posts.post.*"]}
    key = cast.owner.post("/api/v1/webhooks/", hook).json()["id"]
    cast.owner.user.set_unusable_password()
    cast.owner.user.save()
    assert Subscription.objects.get(name=f"webhook:{key}").state == "disabled"


def delete_account(person: Person, body: object):
    return person.client.delete(ME, body, content_type="application/json")


@pytest.mark.parametrize(
    "body", [{}, {"password": "wrong"}, {"password": None}, {"password": "owner-password", "x": 1}]
)
def test_an_account_is_not_deleted_without_its_password(cast: Cast, body: dict):
    assert delete_account(cast.owner, body).status_code == 400
    assert cast.owner.get(ME).status_code == 200


def test_a_token_does_not_allow_guessing_the_password_by_deletion(cast: Cast):
    assert {delete_account(cast.owner, {"password": f"guess {n}"}).status_code for n in range(PAIR.number)} == {400}
    assert delete_account(cast.owner, {"password": "owner-password"}).status_code == 429
    assert change_password(cast.owner, "owner-password", PASSWORD).status_code == 429


def test_deleting_the_account_takes_hash_sessions_and_webhooks(cast: Cast):
    hook = {"url": "https://example.com/hook", "events": ["posts.post.*"]}
    key = cast.owner.post("/api/v1/webhooks/", hook).json()["id"]
    assert delete_account(cast.owner, {"password": "owner-password"}).status_code == 204
    gone = User.objects.get(pk=cast.owner.user.pk)
    assert (gone.password, gone.email, gone.first_name) == ("!", "", "")
    assert not Session.objects.filter(user=gone).exists()
    assert not Endpoint.objects.alive().filter(owner=gone).exists()
    assert not Subscription.objects.filter(name=f"webhook:{key}").exists()


def test_deleting_the_account_ends_its_sessions_and_hides_its_profile(cast: Cast, client: Client):
    User.objects.filter(pk=cast.owner.user.pk).update(email="owner@example.com")
    elsewhere = sessions.open_pair(cast.owner.user)
    cast.colleague.client.post(f"{USERS}{cast.owner.user.pk}/follow/")
    cast.owner.client.post(f"{USERS}{cast.outsider.user.pk}/follow/")
    assert delete_account(cast.owner, {"password": "owner-password"}).status_code == 204
    assert cast.owner.get(ME).status_code == 401
    refreshed = client.post("/api/v1/auth/refresh/", {"refresh": elsewhere.refresh}, content_type="application/json")
    assert refreshed.status_code == 401
    assert not Session.objects.filter(user=cast.owner.user, revoked=None).exists()
    assert cast.colleague.get(f"{USERS}{cast.owner.user.pk}/").status_code == 404
    assert cast.colleague.get(f"{USERS}{cast.owner.user.number}/").status_code == 404
    assert not Follow.objects.alive().exists()
    signed_in = client.post(
        "/auth/", {"username": "owner", "password": "owner-password"}, content_type="application/json"
    )
    assert signed_in.status_code == 401
    assert register(client, username="owner", email="owner@example.com").status_code == 201
    history = LoggedChange.objects.history(cast.owner.user.pk)
    assert [change.kind for change in history][-1] == "deleted"
    assert history.last().before["username"] == "owner"


@pytest.mark.parametrize("by", ["pk", "number"])
def test_other_users_see_the_public_profile(cast: Cast, by: str):
    User.objects.filter(pk=cast.owner.user.pk).update(email="owner@example.com", first_name="O")
    person = cast.outsider.get(f"{USERS}{getattr(cast.owner.user, by)}/").json()
    assert set(person) == {
        *("id", "number", "username", "first_name", "last_name", "followers", "following", "created")
    }
    assert (person["username"], person["first_name"]) == ("owner", "O")


@pytest.mark.parametrize("key", ["999999999", "0190163d-8694-739b-aea5-966c26f8ad91", "nobody"])
def test_an_unknown_user_is_404(cast: Cast, key: str):
    for answer in (cast.owner.get(f"{USERS}{key}/"), cast.owner.client.post(f"{USERS}{key}/follow/")):
        assert answer.status_code == 404


def test_following_and_unfollowing(cast: Cast):
    path = f"{USERS}{cast.owner.user.pk}/"
    for _ in range(2):  # once is enough
        assert cast.colleague.client.post(f"{path}follow/").status_code == 204
    cast.outsider.client.post(f"{USERS}{cast.owner.user.number}/follow/")
    person = cast.staff.get(path).json()
    assert (person["followers"], person["following"]) == (2, 0)
    followers = cast.staff.get(f"{path}followers/").json()["results"]
    assert sorted(one["username"] for one in followers) == ["colleague", "outsider"]
    following = cast.staff.get(f"{USERS}{cast.colleague.user.pk}/following/").json()["results"]
    assert [(one["username"], one["followers"]) for one in following] == [("owner", 2)]
    for _ in range(2):
        assert cast.colleague.delete(f"{path}follow/").status_code == 204
    assert cast.staff.get(path).json()["followers"] == 1
    assert cast.colleague.client.post(f"{path}follow/").status_code == 204
    assert cast.staff.get(path).json()["followers"] == 2


def test_following_oneself_is_refused(cast: Cast):
    answer = cast.owner.client.post(f"{USERS}{cast.owner.user.pk}/follow/")
    assert answer.status_code == 409
    assert not Follow.objects.exists()


@pytest.mark.parametrize("people", [2, 40])
def test_a_list_of_followers_costs_as_many_queries_however_long(cast: Cast, people: int, django_assert_num_queries):
    followers = User.objects.bulk_create([User(username=f"f{n}") for n in range(people)])
    Follow.objects.bulk_create([Follow(follower=one, followed=cast.owner.user) for one in followers])
    with django_assert_num_queries(5):  # session, person, savepoint, the page, release
        answer = cast.staff.get(f"{USERS}{cast.owner.user.pk}/followers/?limit=100")
    assert len(answer.json()["results"]) == people


def test_a_concurrent_registration_of_a_name_is_an_error_of_its_field(client: Client):
    with connection.cursor() as cursor:  # what the check before the write cannot see
        cursor.execute(
            "INSERT INTO accounts_user (username, password, is_superuser, first_name, last_name, email,"
            " is_staff, is_active, date_joined) VALUES ('Taken', '', false, '', '', '', false, true, now())"
        )
    assert fields_of(register(client, username="taken")) == ["username"]
