"""Sign-in is throttled by account and by address, and nobody is locked out by what others try."""

import threading
from collections import Counter

import pytest
from django.db import connection
from django.test import Client

from lockstep.accounts import sessions, throttling
from lockstep.accounts.development import ensure_client
from lockstep.accounts.models import Tries, User
from lockstep.accounts.subscribers import remove_expired
from lockstep.accounts.throttling import ACCOUNT, ADDRESS, PAIR, Limit

pytestmark = pytest.mark.django_db

HERE, THERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def somebody(db: None) -> User:
    User.objects.create_user("another", password="right")
    return User.objects.create_user("somebody", "some.body@example.com", password="right")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, smaller."""
    monkeypatch.setattr(throttling, "PAIR", Limit(PAIR.name, 3, PAIR.seconds))
    monkeypatch.setattr(throttling, "ACCOUNT", Limit(ACCOUNT.name, 6, ACCOUNT.seconds))
    monkeypatch.setattr(throttling, "ADDRESS", Limit(ADDRESS.name, 6, ADDRESS.seconds))


def sign_in(name: str = "somebody", password: str = "wrong", address: str = HERE, path: str = "/auth/", **headers: str):
    field = "name" if path == "/api/token/" else "username"
    client = Client(REMOTE_ADDR=address, raise_request_exception=False)
    return client.post(path, {field: name, "password": password}, content_type="application/json", headers=headers)


def tries(number: int, *args: str, **options: str) -> list[int]:
    return [sign_in(*args, **options).status_code for _ in range(number)]


def test_guessing_one_account_is_stopped_and_says_when_to_come_again():
    assert tries(4) == [401, 401, 401, 429]
    refused = sign_in()
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert 0 < int(refused["Retry-After"]) <= PAIR.seconds


def test_other_spellings_of_the_name_are_the_same_try():
    names = ["somebody", "\uff53omebody", "\uff53\uff4fmebody", " somebody", "SOMEBODY"]  # some in full width
    assert [sign_in(name).status_code for name in names] == [401, 401, 401, 429, 429]


def test_the_right_password_does_not_pass_either_once_it_is_stopped():
    tries(4)
    assert sign_in(password="right").status_code == 429


def test_signing_in_rightly_does_not_count():
    assert tries(10, "somebody", "right") == [200] * 10


def test_every_door_counts_together():
    ensure_client()
    assert sign_in().status_code == sign_in(path="/api/token/").status_code == 401
    assert sign_in("SOME.BODY@example.com").status_code == 401  # another name of the same account is another count
    form = "grant_type=password&client_id=lockstep-dev&username=somebody&password=wrong"
    client = Client(REMOTE_ADDR=HERE)
    assert client.post("/oauth/token/", form, content_type="application/x-www-form-urlencoded").status_code == 400
    assert sign_in(path="/api/v1/auth/token/").status_code == 429
    assert client.post("/oauth/token/", form, content_type="application/x-www-form-urlencoded").status_code == 429


def test_an_idempotency_key_takes_no_try_back():
    statuses = [sign_in(**{"idempotency-key": f"key-{number}"}).status_code for number in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_an_answer_that_is_given_again_does_not_count():
    tokens = {sign_in(password="right", **{"idempotency-key": "1"}).json()["token"] for _ in range(6)}
    assert len(tokens) == 1


def test_somebody_else_at_the_same_address_still_signs_in():
    tries(5)
    assert sign_in("another", "right").status_code == 200


def test_the_owner_elsewhere_still_signs_in():
    tries(5)
    assert sign_in(password="right", address=THERE).status_code == 200


def test_guessing_many_accounts_from_one_address_is_stopped():
    statuses = [sign_in(f"name{number}").status_code for number in range(7)]
    assert statuses == [401] * 6 + [429]


def test_guessing_one_account_from_many_addresses_is_stopped_but_not_for_its_owner_at_home(somebody: User):
    sessions.open_opaque(somebody, address=HERE)
    statuses = [sign_in(address=f"203.0.113.{number}").status_code for number in range(7)]
    assert statuses == [401] * 6 + [429]
    assert sign_in(password="right", address=THERE).status_code == 429
    assert sign_in(password="right", address=HERE).status_code == 200


def test_an_address_where_others_guess_is_open_to_who_is_at_home_there(somebody: User):
    sessions.open_opaque(somebody, address=HERE)
    assert [sign_in(f"name{number}").status_code for number in range(7)][-1] == 429
    assert sign_in("another", "right").status_code == 429
    assert sign_in(password="right").status_code == 200


def test_one_household_of_ipv6_is_one_address():
    assert [sign_in(address=f"2001:db8::{number}").status_code for number in range(1, 5)] == [401, 401, 401, 429]
    assert sign_in(password="right", address="2001:db8:0:1::1").status_code == 200


def test_it_is_forgotten_after_a_while():
    tries(4)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_tries SET until = now()")
    assert sign_in().status_code == 401
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_tries SET until = now()")
    remove_expired()
    assert not Tries.objects.exists()


def test_neither_names_nor_addresses_are_kept_in_the_clear():
    sign_in()
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(key, '') FROM accounts_tries")
        kept = bytes(cursor.fetchone()[0])
    assert b"somebody" not in kept
    assert HERE.encode() not in kept


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


def test_a_forwarded_address_is_believed_of_our_proxies_only(settings):
    from ipaddress import ip_network

    forged = {"x-forwarded-for": "192.0.2.1"}
    tries(4)
    assert sign_in(**forged).status_code == 429
    settings.TRUSTED_PROXIES = [ip_network("198.51.100.0/24")]
    assert sign_in(**forged).status_code == 401
    assert sign_in("another", **{"x-forwarded-for": f"192.0.2.66, {THERE}, 198.51.100.8"}).status_code == 401
    before = Tries.objects.count()
    assert sign_in("another", address=THERE).status_code == 401
    assert Tries.objects.count() == before  # it was THERE that was counted


def test_accounts_are_not_made_by_the_thousand(settings):
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
