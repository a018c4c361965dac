"""Every page with a million changes, 100,000 dead letters and 10,000 endpoints in the database.

    python -m bench.console            # a table; --scale 0.01 shows that it runs, --only TEXT limits the pages

Of each page: its statements; milliseconds of the whole request and in statements, when neither PostgreSQL nor the
system has any page of the database in memory; the same when all is; and the milliseconds of a core that PostgreSQL took
then. Each is the best of ROUNDS.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.crowd import Crowd
from bench.pages import Clients, Page, all_pages
from bench.place import Place, open_place

ROUNDS = 3
MAX_MILLISECONDS = 300
CROWD = Crowd(changes=1_000_000, letters=100_000, endpoints=10_000, objects=100_000, owners=200)


@dataclass(frozen=True, order=True)
class Cost:
    """Of one request: milliseconds in all, in statements, and of PostgreSQL's processor; statements."""

    total: float
    database: float
    processor: float
    statements: int


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__, allow_abbrev=False)
    parser.add_argument("--scale", type=float, default=1.0, help="of the amounts of data")
    parser.add_argument("--only", default="", help="pages whose address has this text")
    options = parser.parse_args()
    os.environ.pop("DATABASE_URL", None)  # the server is restarted for each page
    with open_place(options.scale) as place:
        with place.connection() as connection:
            CROWD.scaled(options.scale).fill(connection)
            connection.execute("VACUUM ANALYZE")
        sys.stdout.write(f"{'':72} statements  cold (in statements)  warm (in statements, processor)\n")
        for page, cold, warm in measured(place, options.only):
            slow = "  over the goal" if cold.total > MAX_MILLISECONDS else ""
            sys.stdout.write(
                f"{str(page)[:72]:72} {warm.statements:10} {cold.total:5.0f} {f'({cold.database:.0f})':>15}"
                f" {warm.total:5.0f} {f'({warm.database:.0f}, {warm.processor:.0f})':>26}{slow}\n"
            )
            sys.stdout.flush()


def measured(place: Place, only: str) -> Iterator[tuple[Page, Cost, Cost]]:
    """Each page with what it costs cold and warm."""
    from django.test.utils import override_settings

    logging.disable(logging.INFO)  # a line for each request
    with override_settings(SECURE_SSL_REDIRECT=False):
        clients = Clients()
        for page in all_pages():
            if only in str(page):
                yield page, *costs_of(place, page, clients)


def costs_of(place: Place, page: Page, clients: Clients) -> tuple[Cost, Cost]:
    """The best of some cold requests, and of some warm ones. Templates are in memory in all."""
    page.open(clients)
    cold = min(_cold(place, page, clients) for _ in range(ROUNDS))
    return cold, min(cost_of(page, clients) for _ in range(ROUNDS))


def _cold(place: Place, page: Page, clients: Clients) -> Cost:
    from django.db import connection

    connection.close()
    place.chill()
    connection.ensure_connection()
    return cost_of(page, clients)


def cost_of(page: Page, clients: Clients) -> Cost:
    """Of one request, which does not find what requests of some seconds share."""
    from lockstep.console.views.overview import shown

    shown.forget()
    with counted() as statements:
        before, began = _processor(), time.perf_counter()
        page.open(clients)
        total = time.perf_counter() - began
        processor = _processor() - before
    return Cost(total * 1_000, sum(statements) * 1_000, processor * 1_000, len(statements))


@contextmanager
def counted() -> Iterator[list[float]]:
    """Collects the seconds of each statement of this thread."""
    from django.db import connection

    seconds: list[float] = []

    def count(execute: Callable[..., object], *arguments: object) -> object:
        began = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            seconds.append(time.perf_counter() - began)

    with connection.execute_wrapper(count):
        yield seconds


def _processor() -> float:
    """Seconds that the session's process of PostgreSQL has run."""
    from django.db import connection

    pid = connection.connection.info.backend_pid
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    main()
