"""Limits how many cards are tried: a shop that takes any number of them tells stolen cards from dead ones.

A try is counted before the gateway is asked, so that of many at once no more than the limit reach it. One that the
gateway did not answer is taken back. A card that it accepts counts, too: it may still be declined when it is charged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from django.conf import settings
from django.db import connection

from lockstep.api.errors import TooManyRequests, Unavailable
from lockstep.api.statements import rows
from lockstep.changes.entities import Somebody
from lockstep.changes.sql_file import load
from lockstep.shop.models import Order

SQL = load(Path(__file__).parent / "sql" / "card_tries.sql")
SECONDS = 3600.0


class TooManyCards(TooManyRequests):
    """Too many cards were tried."""


@contextmanager
def counted(order: Order, user: Somebody) -> Iterator[None]:
    """One try of a card for an order by a user, outside any transaction. Raises TooManyCards."""
    limits = {f"order:{order.pk}": settings.CARD_TRIES_PER_ORDER, f"user:{user.pk}": settings.CARD_TRIES_PER_HOUR}
    counts = rows(SQL["count"], {"keys": list(limits), "seconds": SECONDS})
    if waits := [one["seconds"] for one in counts if one["number"] > limits[one["key"]]]:
        raise TooManyCards(retry_after=max(1, ceil(max(waits))))
    try:
        yield
    except Unavailable:
        with connection.cursor() as cursor:
            cursor.execute(SQL["take_back"], {"keys": list(limits)})
        raise


def forget_tries() -> None:
    """Removes what is no longer counted: periodic work."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["forget"])
