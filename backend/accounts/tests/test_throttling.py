"""Sign-in is throttled by account and by address, and attempts of strangers lock no user out."""

import base64
import threading
from collections import Counter
from datetime import timedelta
from ipaddress import ip_network

import psycopg
import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from oauth2_provider.models import Application

from backend.accounts import sessions, throttling
from backend.accounts.development import ensure_client
from backend.accounts.models import LoginAttemptCount, User
from backend.accounts.subscribers import remove_expired
from backend.accounts.throttling import ACCOUNT, ADDRESS, PAIR, Limit
from conftest import database_url
from lockstep.rest import idempotency
from tests.support import any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

HERE, THERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def account(db: None) -> User:
    User.objects.create_user("another", password="right")
    return User.objects.create_user("someuser", "some.body@example.com", password="right")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, smaller."""
    monkeypatch.setattr(throttling, "PAIR", Limit(PAIR.name, 3, PAIR.seconds))
    monkeypatch.setattr(throttling, "ACCOUNT", Limit(ACCOUNT.name, 6, ACCOUNT.seconds))
    monkeypatch.setattr(throttling, "ADDRESS", Limit(ADDRESS.name, 6, ADDRESS.seconds))


def sign_in(name: str = "someuser", password: str = "wrong", address: str = HERE, path: str = "/auth/", **headers: str):
    field = "name" if path == "/api/token/" else "username"
    client = Client(REMOTE_ADDR=address, raise_request_exception=False)
    return client.post(path, {field: name, "password": password}, content_type="application/json", headers=headers)


def tries(number: int, *args: str, **options: str) -> list[int]:
    return [sign_in(*args, **options).status_code for _ in range(number)]


def test_guessing_one_account_is_429_with_retry_after():
    assert tries(4) == [401, 401, 401, 429]
    refused = sign_in()
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert 0 < (wait := int(refused["Retry-After"])) <= PAIR.seconds
    assert refused.json()["detail"] == f"Too many attempts. Try again in {wait} seconds."


def test_a_clock_set_back_does_not_prolong_a_lockout():
    assert tries(4) == [401, 401, 401, 429]
    LoginAttemptCount.objects.update(until=F("until") + timedelta(hours=1))
    assert tries(4) == [401, 401, 401, 429]


def test_other_spellings_of_the_name_share_its_count():
    names = ["someuser", "\uff53omeuser", "\uff53\uff4fmeuser", " someuser", "SOMEUSER"]  # some in full width
    assert [sign_in(name).status_code for name in names] == [401, 401, 401, 429, 429]


def test_the_right_password_does_not_pass_either_once_it_is_stopped():
    tries(4)
    assert sign_in(password="right").status_code == 429


@pytest.mark.parametrize("path", ["/auth/", "/api/token/"])
def test_waiting_for_the_same_key_does_not_count(monkeypatch: pytest.MonkeyPatch, path: str):
    """Eleven tabs that sign in at once under one key would lock each other out."""
    with monkeypatch.context() as another_is_carried_out:
        another_is_carried_out.setattr(idempotency, "_locked", lambda digest: False)
        answers = [sign_in(password="right", path=path, idempotency_key="k").status_code for _ in range(10)]
    assert answers == [409] * 10
    assert sign_in(password="right", path=path, idempotency_key="k").status_code == 200


def test_successful_sign_ins_do_not_count():
    assert tries(10, "someuser", "right") == [200] * 10


def test_all_sign_in_endpoints_share_one_count():
    ensure_client()
    assert sign_in().status_code == sign_in(path="/api/token/").status_code == 401
    form = "grant_type=password&client_id=lockstep-dev&username=someuser&password=wrong"
    client = Client(REMOTE_ADDR=HERE)
    assert client.post("/oauth/token/", form, content_type="application/x-www-form-urlencoded").status_code == 400
    assert sign_in(path="/api/v1/auth/token/").status_code == 429
    assert sign_in("SOME.BODY@example.com").status_code == 429  # another name of the same account
    assert client.post("/oauth/token/", form, content_type="application/x-www-form-urlencoded").status_code == 429


PATHS = ["/auth/", "/api/token/", "/api/v1/auth/token/"]


@pytest.mark.parametrize("path", PATHS)
def test_a_name_of_digits_is_counted_as_it_is_acted_on(path: str):
    User.objects.create_user("76245004", password="right")
    assert [sign_in(name, path=path).status_code for name in (76245004, 76245004, "76245004", 76245004)] == [
        *(401, 401, 401, 429)
    ]


@pytest.mark.parametrize("names", [("someuser", "some.body@example.com"), ("some.body@example.com", "someuser")])
def test_one_account_is_one_count_by_name_or_by_address(names: tuple[str, str]):
    one, other = names
    assert tries(3, one) == [401] * 3
    assert tries(1, other, "right") == [429]


@pytest.mark.parametrize("body", [{}, {"username": "someuser"}, {"username": ["someuser"], "password": "x"}])
def test_a_body_without_a_password_counts_no_attempt(body: dict):
    client = Client(REMOTE_ADDR=HERE)
    assert [client.post("/auth/", body, content_type="application/json").status_code for _ in range(5)] == [400] * 5
    assert not LoginAttemptCount.objects.exists()


@pytest.mark.parametrize("way", ["form", "basic"])
def test_the_secret_of_a_client_is_counted(way: str):
    application = {"client_type": "confidential", "authorization_grant_type": "password"}
    Application.objects.create(client_id="partner", client_secret="secret", **application)

    def revoke(secret: str) -> int:
        form, headers = "token=t", {}
        if way == "form":
            form += f"&client_id=partner&client_secret={secret}"
        else:
            headers["authorization"] = "Basic " + base64.b64encode(f"partner:{secret}".encode()).decode()
        client = Client(REMOTE_ADDR=HERE, raise_request_exception=False)
        kind = "application/x-www-form-urlencoded"
        return client.post("/oauth/revoke_token/", form, content_type=kind, headers=headers).status_code

    assert [revoke("secret") for _ in range(5)] == [200] * 5
    assert [revoke("guess") for _ in range(4)] == [401, 401, 401, 429]
    assert revoke("secret") == 429


def test_names_that_an_account_requests_are_counted(monkeypatch: pytest.MonkeyPatch, account: User):
    monkeypatch.setattr(throttling, "NAMES", Limit("n", 3, 60.0))
    User.objects.create_user("owner", "owner@example.com")
    headers = {"authorization": f"Bearer {sessions.open_opaque(account)}"}
    client = Client(REMOTE_ADDR=HERE, headers=headers)

    def try_name(**body: str) -> int:
        return client.patch("/api/v1/users/me/", body, content_type="application/json").status_code

    assert [try_name(first_name=f"{n}", username="someuser") for n in range(5)] == [200] * 5
    assert [try_name(email="owner@example.com"), try_name(username="OWNER")] == [400, 400]
    assert [try_name(email="free@example.com"), try_name(email="owner@example.com")] == [200, 429]
    assert try_name(first_name="still") == 200


def test_an_idempotency_key_does_not_take_back_an_attempt():
    statuses = [sign_in(**{"idempotency-key": f"key-{number}"}).status_code for number in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_a_replayed_sign_in_does_not_count():
    tokens = {sign_in(password="right", **{"idempotency-key": "1"}).json()["token"] for _ in range(6)}
    assert len(tokens) == 1


def test_another_user_at_the_same_address_still_signs_in():
    tries(5)
    assert sign_in("another", "right").status_code == 200


def test_the_owner_elsewhere_still_signs_in():
    tries(5)
    assert sign_in(password="right", address=THERE).status_code == 200


def test_guessing_many_accounts_from_one_address_is_stopped():
    statuses = [sign_in(f"name{number}").status_code for number in range(7)]
    assert statuses == [401] * 6 + [429]


def test_guesses_from_many_addresses_are_stopped_except_at_the_owners_address(account: User):
    sessions.open_opaque(account, address=HERE)
    statuses = [sign_in(address=f"203.0.113.{number}").status_code for number in range(7)]
    assert statuses == [401] * 6 + [429]
    assert sign_in(password="right", address=THERE).status_code == 429
    assert sign_in(password="right", address=HERE).status_code == 200


def test_a_blocked_address_still_admits_users_with_a_session_there(account: User):
    sessions.open_opaque(account, address=HERE)
    assert [sign_in(f"name{number}").status_code for number in range(7)][-1] == 429
    assert sign_in("another", "right").status_code == 429
    assert sign_in(password="right").status_code == 200


def test_an_ipv6_network_of_64_bits_is_one_address():
    assert [sign_in(address=f"2001:db8::{number}").status_code for number in range(1, 5)] == [401, 401, 401, 429]
    assert sign_in(password="right", address="2001:db8:0:1::1").status_code == 200


def test_counts_expire():
    tries(4)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_loginattemptcount SET until = now()")
    assert sign_in().status_code == 401
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_loginattemptcount SET until = now()")
    remove_expired()
    assert not LoginAttemptCount.objects.exists()


def test_names_and_addresses_are_stored_as_digests():
    sign_in()
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(key, '') FROM accounts_loginattemptcount")
        kept = bytes(cursor.fetchone()[0])
    assert b"someuser" not in kept
    assert HERE.encode() not in kept


@pytest.mark.django_db(transaction=True)
def test_tries_are_locked_in_the_order_of_their_keys(database: psycopg.Connection):
    keys = [bytes([n]) * 32 for n in range(3)]
    for key in reversed(keys):  # so that the rows lie in the other order
        database.execute("INSERT INTO accounts_loginattemptcount VALUES (%s, 1, now() + interval '1 hour')", [key])

    def reset() -> None:
        try:
            attempt = throttling.LoginAttempt("someuser", HERE)
            attempt._keys = keys
            attempt.reset()
        finally:
            connection.close()

    resetting = threading.Thread(target=reset)
    with psycopg.connect(database_url()) as holding:
        holding.execute("SELECT FROM accounts_loginattemptcount WHERE key = %s FOR UPDATE", [keys[0]])
        resetting.start()
        eventually(lambda: any_lock_waiter(database))
        database.execute("SELECT FROM accounts_loginattemptcount WHERE key = %s FOR UPDATE NOWAIT", [keys[2]])
    resetting.join()
    assert not LoginAttemptCount.objects.exclude(number=0).exists()


@pytest.mark.django_db(transaction=True)
def test_guesses_sent_all_at_once_do_not_slip_through():
    statuses: list[int] = []

    def guess() -> None:
        try:
            statuses.append(sign_in().status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(statuses) == {401: 3, 429: 9}


def test_a_forwarded_address_is_accepted_from_our_proxies_only(settings):
    forged = {"x-forwarded-for": "192.0.2.1"}
    tries(4)
    assert sign_in(**forged).status_code == 429
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_TRUSTED_PROXIES": [ip_network("198.51.100.0/24")]}
    assert sign_in(**forged).status_code == 401
    assert sign_in("another", **{"x-forwarded-for": f"192.0.2.66, {THERE}, 198.51.100.8"}).status_code == 401
    before = LoginAttemptCount.objects.count()
    assert sign_in("another", address=THERE).status_code == 401
    assert LoginAttemptCount.objects.count() == before  # it was THERE that was counted


def test_registrations_are_limited(settings):
    settings.REGISTRATIONS_PER_HOUR = 2
    client = Client(REMOTE_ADDR=HERE)
    body = {"name": "new", "password": "correct horse"}
    made = [
        client.post("/api/register/", body | {"name": f"new{n}"}, content_type="application/json") for n in range(3)
    ]
    assert [answer.status_code for answer in made] == [201, 201, 429]
    elsewhere = Client(REMOTE_ADDR=THERE).post(
        "/api/v1/users/register/", {"username": "new9", "password": "correct horse"}, content_type="application/json"
    )
    assert elsewhere.status_code == 201
