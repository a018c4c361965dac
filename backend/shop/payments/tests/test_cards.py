"""How many cards may be tried: at the gateway arrive no more than the limits, however many come at once."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from backend.shop.conftest import MakeProduct
from backend.shop.models import CardTry, Order
from backend.shop.payments import card_tries
from backend.shop.payments.card_tries import forget_tries
from devstack.sandbox.payments import StandIn, card_behaviours
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

ORDERS = "/api/v1/orders/"


@pytest.fixture
def gateway(settings: Any) -> Iterator[StandIn]:
    settings.CARD_TRIES_PER_ORDER, settings.CARD_TRIES_PER_HOUR = 3, 5
    with StandIn() as server:
        settings.PAYMENTS_URL = server.url
        yield server


def place(person: Person, product: Any) -> int:
    answer = person.post(ORDERS, {"lines": [{"product": str(product.pk), "quantity": 1}]})
    return int(answer.json()["number"])


def confirm(person: Person, number: int, card: str = "4242424242424241") -> Any:
    payment = {"card_number": card, "expiry": "12/40", "cvc": "123"}
    return person.post(f"{ORDERS}{number}/confirm/", {"payment": payment})


def asked(gateway: StandIn) -> int:
    return gateway.counts().get("POST /tokens", 0)


def test_card_attempts_on_one_order_are_limited(cast: Cast, product: MakeProduct, gateway: StandIn):
    number = place(cast.colleague, product())
    assert [confirm(cast.colleague, number).status_code for _ in range(3)] == [400] * 3
    refused = confirm(cast.colleague, number, card_behaviours.PAYS)
    assert refused.status_code == 429
    assert 3500 < (wait := int(refused["Retry-After"])) <= 3600
    assert refused.json()["detail"] == f"Too many cards were tried. Try again in {wait:,} seconds."
    assert asked(gateway) == 3
    assert confirm(cast.owner, place(cast.owner, product()), card_behaviours.PAYS).status_code == 200


def test_card_attempts_of_one_user_are_limited(cast: Cast, product: MakeProduct, gateway: StandIn):
    first, second = (place(cast.colleague, product()) for _ in range(2))
    statuses = [confirm(cast.colleague, number).status_code for number in (first, first, first, second, second)]
    assert statuses == [400] * 5
    assert confirm(cast.colleague, second, card_behaviours.PAYS).status_code == 429
    assert asked(gateway) == 5


def test_accepted_card_counts_until_the_hour_is_over(cast: Cast, product: MakeProduct, gateway: StandIn):
    for _ in range(5):
        assert confirm(cast.colleague, place(cast.colleague, product()), card_behaviours.PAYS).status_code == 200
    last = place(cast.colleague, product())
    assert confirm(cast.colleague, last, card_behaviours.PAYS).status_code == 429
    CardTry.objects.update(until="2026-01-01T00:00Z")
    assert confirm(cast.colleague, last, card_behaviours.PAYS).status_code == 200
    CardTry.objects.update(until="2026-01-01T00:00Z")
    forget_tries()
    assert not CardTry.objects.exists()


def test_a_count_does_not_outlive_a_clock_that_stepped_back(cast: Cast, product: MakeProduct, gateway: StandIn):
    number = place(cast.colleague, product())
    assert [confirm(cast.colleague, number).status_code for _ in range(4)] == [400, 400, 400, 429]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_cardtry SET until = until + interval '1 hour'")
    assert confirm(cast.colleague, number).status_code == 400


def test_an_unanswered_attempt_is_not_counted(cast: Cast, product: MakeProduct, gateway: StandIn, settings: Any):
    number = place(cast.colleague, product())
    settings.PAYMENTS_URL = "http://127.0.0.1:9"
    assert [confirm(cast.colleague, number).status_code for _ in range(4)] == [503] * 4
    assert set(CardTry.objects.values_list("number", flat=True)) == {0}


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_forty_concurrent_cards_are_three_attempts(cast: Cast, product: MakeProduct, gateway: StandIn, settings):
    settings.LOCKSTEP = settings.LOCKSTEP | {"SERVER_REMOTE_WAITS_PER_USER": 40}  # which is another limit
    number = place(cast.colleague, product())

    def one() -> int:
        try:
            return int(confirm(cast.colleague, number).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(future.result() for future in [pool.submit(one) for _ in range(40)])
    assert statuses == {400: 3, 429: 37}
    assert asked(gateway) == 3
    assert Order.objects.get().state == "PENDING_CONFIRMATION"


@pytest.mark.django_db(transaction=True)
def test_attempts_are_taken_back_in_the_order_of_their_count(database: psycopg.Connection):
    """While it waits for the first of two counters it holds none: what counts takes them in the order of their keys."""
    CardTry.objects.create(key="user:1", number=1, until="2999-01-01T00:00Z")
    CardTry.objects.create(key="order:1", number=1, until="2999-01-01T00:00Z")

    def take_back() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(card_tries.SQL["take_back"], {"keys": ["order:1", "user:1"]})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("SELECT FROM shop_cardtry WHERE key = 'order:1' FOR UPDATE")
            taken_back = pool.submit(take_back)
            eventually(lambda: any_lock_waiter(database))
            database.execute("SELECT FROM shop_cardtry WHERE key = 'user:1' FOR UPDATE NOWAIT")
        taken_back.result()
    assert set(CardTry.objects.values_list("number", flat=True)) == {0}
