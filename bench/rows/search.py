"""Searching a million products, and listing the newest of them, in the database and through the API."""

import os
import random
import secrets
import statistics
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any
from unittest import mock

import httpx
import psycopg

from backend.accounts.models import User
from backend.accounts.sessions import open_pair
from backend.shop.catalogue import reads
from backend.shop.models import Product
from backend.shop.search.engine import OLDER
from backend.shop.search.vocabulary import index_vocabulary
from bench import tables
from bench.place import Connection
from bench.processes import as_in_pgbench, pgbench_latencies
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.web.serving import serving_ours
from lockstep.rest.fastpath import fetch_all, for_user
from lockstep.rest.paging import CursorParams
from lockstep.sql import Statement

PRODUCTS, VOCABULARY, WORDS, SEARCHES, WARM_UP = 1_000_000, 50_000, 12, 300, 100
SHOWN, LISTED = 20, 50
# Queries, and the milliseconds within which 99 of 100 must be answered in the database; by the API in twice that.
BOUNDS = {"one word": 10, "common word": 10, "two words": 10, "prefix": 25, "misspelt": 60}
INDEX = "shop_search_document"
SCRIPTS = 100  # searches that pgbench chooses from
Ask = Callable[[str], object]
Time = Callable[[str, Ask, str], float]  # milliseconds of one question of a kind


class Search(Row):
    note = (
        f"milliseconds of one search among {PRODUCTS:,} products of {WORDS} words each, out of {VOCABULARY:,} whose "
        f"frequencies fall as in a language; the {SHOWN} newest that match, {SEARCHES} searches of each kind, one at a "
        "time. In the database: what psycopg takes for our own statements as the API sends them; pgbench: the same "
        f"statements of {SCRIPTS} of these searches, by one client. Words are among the "
        "5,000 most frequent ones, common ones among the first hundred; a prefix has three letters; misspelt: a letter "
        f"of the first of two words is left out. List: the {LISTED} newest of all."
    )
    comparisons = (
        *(
            Comparison(f"{kind}, {rank}, ms: database", f"{kind}, {rank}", f"{kind}, {rank}, API", goal)
            for kind, bound in BOUNDS.items()
            for rank, goal in (("p50", None), ("p99", Goal("at most", bound, of="ours")))
        ),
        *(
            Comparison(
                f"{kind}, p99, ms: API", f"{kind}, p99, API", f"{kind}, p99", Goal("at most", 2 * bound, of="ours")
            )
            for kind, bound in BOUNDS.items()
        ),
        *(
            Comparison(f"{kind}, {rank}, ms: API : pgbench", f"{kind}, {rank}, API", f"{kind}, {rank}, pgbench")
            for kind in (*BOUNDS, "list")
            for rank in ("p50", "p99")
        ),
    )

    def prepare(self) -> None:
        os.environ |= {"RATE_LIMIT": "1000000000", "LOG_LEVEL": "INFO", "SECURE_SSL_REDIRECT": "false"}
        self.user = User.objects.create_user("search-bench", password=secrets.token_urlsafe())
        self.token = open_pair(self.user).access
        self.dice = random.Random(7)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(self.dice.choices(letters, k=self.dice.randint(4, 10))) for _ in range(VOCABULARY)]
        with self.place.connection() as connection:
            self._fill(connection)
            index_vocabulary()
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def _fill(self, connection: Connection) -> None:
        """Without triggers, the costly index last: it is searching that is measured."""
        number = self.place.scaled(PRODUCTS)
        frequencies = list(accumulate(1 / (rank + 10) for rank in range(VOCABULARY)))
        connection.execute("SET maintenance_work_mem = '1GB'")
        columns = "owner_id, name, description, price, stock"
        with (
            tables.silenced(connection, "shop_product"),
            connection.cursor().copy(f"COPY shop_product ({columns}) FROM STDIN") as copy,
        ):
            for _ in range(number):
                chosen = self.dice.choices(self.words, cum_weights=frequencies, k=WORDS)
                copy.write_row((self.user.pk, " ".join(chosen[:3]), " ".join(chosen[3:]), "1.00", 1))
        ((index,),) = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [INDEX]).fetchall()
        connection.execute(f"DROP INDEX {INDEX}")
        connection.execute(
            "INSERT INTO shop_searchentry"
            " SELECT p.id, strip(to_tsvector('simple', shop_plain(p.name || ' ' || p.description))) FROM shop_product p"
            " WHERE NOT EXISTS (SELECT FROM shop_searchentry e WHERE e.product_id = p.id)"
        )
        connection.execute(index)
        connection.execute(
            "INSERT INTO shop_pendingvocabulary SELECT product_id FROM shop_searchentry ON CONFLICT DO NOTHING"
        )
        tables.require(connection, shop_searchentry=tables.count(connection, "shop_product"))

    def variants(self) -> dict[str, Variant]:
        return {"database": self._database, "API": self._api, "pgbench": self._pgbench}

    def _texts(self) -> dict[str, Callable[[], str]]:
        def word(most: int = VOCABULARY // 10) -> str:
            return self.dice.choice(self.words[:most])

        return {
            "one word": word,
            "common word": lambda: word(100),
            "two words": lambda: f"{word()} {word()}",
            "prefix": lambda: word()[:3],
            "misspelt": lambda: f"{_without_a_letter(word(), self.dice)} {word()}",
        }

    def _database(self) -> Figures:
        products = Product.objects.visible_to(self.user)
        newest = reads.listing(CursorParams(place=None, backwards=False, limit=LISTED))
        listed, parameters = for_user(newest.statement, Statement("%(user)s")), {"user": self.user.pk}
        self.watch = Watch()
        with mock.patch.object(psycopg.Cursor, "execute", self.watch.around(psycopg.Cursor.execute)):
            return self._measured(
                lambda text: reads.matching(self.user, products, text, OLDER, None, SHOWN),
                lambda _: fetch_all(listed, {**newest.parameters, **parameters}),
                milliseconds=self.watch.milliseconds,
            )

    def _api(self) -> Figures:
        with (
            (self.place.folder / "requests.log").open("w") as log,
            serving_ours(log) as address,
            httpx.Client(base_url=address, headers={"Authorization": f"Bearer {self.token}"}, trust_env=False) as http,
        ):

            def get(**parameters: str | int) -> None:
                found = http.get("/api/v1/products/", params=parameters).raise_for_status()
                if "search" not in parameters:
                    assert len(found.json()["results"]) == LISTED

            figures = self._measured(
                lambda text: get(search=text, limit=SHOWN),
                lambda _: get(limit=LISTED),
                milliseconds=_milliseconds,
            )
            return {f"{name}, API": value for name, value in figures.items()}

    def _pgbench(self) -> Figures:
        """The statements that `_database` has sent, alone. Our list is prepared, and searches are not."""
        figures: Figures = {}
        for kind, sent in self.watch.sent.items():
            scripts = [self.place.folder / f"search{n}.sql" for n in range(SCRIPTS)]
            for script, statements in zip(scripts, sent[:SCRIPTS], strict=True):
                script.write_text("".join(as_in_pgbench(statement) + "\n" for statement in statements))
            protocol, log = "prepared" if kind == "list" else "simple", self.place.folder / "latencies"
            figures |= _ranks(kind, pgbench_latencies(self.place.url, scripts, protocol, SEARCHES, log))
        return {f"{name}, pgbench": value for name, value in figures.items()}

    def _measured(self, search: Ask, newest: Ask, *, milliseconds: Time) -> Figures:
        kinds = {kind: (search, text) for kind, text in self._texts().items()} | {"list": (newest, str)}
        figures: Figures = {}
        for kind, (ask, text) in kinds.items():
            for _ in range(WARM_UP):
                ask(text())
            figures |= _ranks(kind, [milliseconds(kind, ask, text()) for _ in range(SEARCHES)])
        return figures


class Watch:
    """The statements that psycopg executes for each question, and how long they take."""

    def __init__(self) -> None:
        self.sent: dict[str, list[list[str]]] = {}  # by kind: the statements of each question
        self._seconds, self._statements = 0.0, list[str]()

    def milliseconds(self, kind: str, ask: Ask, text: str) -> float:
        """Of the statements of one question, together."""
        self._seconds, self._statements = 0.0, []
        ask(text)
        self.sent.setdefault(kind, []).append(self._statements)
        return self._seconds * 1000

    def around(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """The same method under watch: a statement's rows are all there when it is over."""

        def watched(cursor: Any, statement: str, *values: Any, **options: Any) -> Any:  # noqa: ANN401 - as psycopg's
            began = time.perf_counter()
            answer = execute(cursor, statement, *values, **options)
            self._seconds += time.perf_counter() - began
            self._statements.append(psycopg.ClientCursor(cursor.connection).mogrify(statement, *values))
            return answer

        return watched


def _milliseconds(_: str, ask: Ask, text: str) -> float:
    began = time.perf_counter()
    ask(text)
    return (time.perf_counter() - began) * 1000


def _ranks(kind: str, milliseconds: list[float]) -> Figures:
    return {f"{kind}, p50": statistics.median(milliseconds), f"{kind}, p99": sorted(milliseconds)[-SEARCHES // 100]}


def _without_a_letter(word: str, dice: random.Random) -> str:
    place = dice.randrange(1, len(word))
    return word[:place] + word[place + 1 :]
