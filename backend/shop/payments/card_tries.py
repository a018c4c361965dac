"""Limits of attempts with cards: a shop without limits is a test of stolen cards.

An attempt is counted before the request to the gateway, so that no more than the limit reach it at once. An attempt
that the gateway did not answer is taken back. Accepted cards count, too: the charge may still be declined.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from django.conf import settings
from django.db import connection

from backend.shop.orders.models import Order
from lockstep.rest.errors import TooManyRequests, Unavailable
from lockstep.rest.fastpath import fetch_all
from lockstep.rest.users import AnyUser
from lockstep.sql import statements

SQL = statements(__file__, "card_tries")
SECONDS = 3600.0


class TooManyCards(TooManyRequests):
    """Too many cards were tried."""


@contextmanager
def counted(order: Order, user: AnyUser) -> Iterator[None]:
    """Counts an attempt with a card for an order by a user, outside any transaction. Raises TooManyCards."""
    limits = {f"order:{order.pk}": settings.CARD_TRIES_PER_ORDER, f"user:{user.pk}": settings.CARD_TRIES_PER_HOUR}
    counts = fetch_all(SQL["count"], {"keys": list(limits), "seconds": SECONDS})
    if waits := [one["seconds"] for one in counts if one["number"] > limits[one["key"]]]:
        raise TooManyCards(retry_after=max(1, ceil(max(waits))))
    try:
        yield
    except Unavailable:
        with connection.cursor() as cursor:
            cursor.execute(SQL["take_back"], {"keys": list(limits)})
        raise


def forget_tries() -> None:
    """Deletes the counts that have ended; periodic work."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["forget"])
