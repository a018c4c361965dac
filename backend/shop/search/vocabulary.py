"""The spelling vocabulary: periodic work of a worker."""

from django.db import connection, transaction

from backend.shop.search.engine import SQL
from lockstep.rest.fastpath import fetch_all

BATCH = 20_000  # products


def index_vocabulary() -> None:
    """Adds the words of recently written products to the spelling vocabulary."""
    while fetch_all(SQL["index_vocabulary"], [BATCH])[0]["count"] == BATCH:
        pass


def prune_vocabulary() -> None:
    """Removes words without products from the spelling vocabulary."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SQL["lock_vocabulary"])
        cursor.execute(SQL["prune_vocabulary"])
