"""Searching a million products, in the database and through the API."""

import os
import random
import secrets
import statistics
import time
from collections.abc import Callable

import httpx

from bench.row import Comparison, Figures, Goal, Manner, Row
from bench.web.serving import serving
from lockstep.accounts.models import User
from lockstep.accounts.sessions import open_pair
from lockstep.shop.models import Product
from lockstep.shop.search import learn_words, search_engine

PRODUCTS, VOCABULARY, WORDS, BATCH, ASKED = 1_000_000, 50_000, 12, 20_000, 300
SHOWN = 20


class Search(Row):
    note = (
        f"milliseconds of one search among {PRODUCTS:,} products of {WORDS} words each, out of {VOCABULARY:,} whose "
        f"frequencies fall as in a language; the {SHOWN} newest that match, {ASKED} searches of each kind, one at a "
        "time. In the database: our own statement as the API sends it, but for its columns. Misspelt: one letter of a "
        "word left out."
    )
    comparisons = tuple(
        Comparison(f"{kind}, {rank}, ms: through the API", f"{kind}, {rank}", f"{kind}, {rank}, API", goal)
        for kind, bound in (("one word", 10), ("two words", 10), ("prefix", 25), ("misspelt", 60))
        for rank, goal in (("p50", None), ("p99", Goal("at most", bound, of="ours")))
    )

    def prepare(self) -> None:
        os.environ |= {"RATE_LIMIT": "1000000000", "LOG_LEVEL": "INFO", "SECURE_SSL_REDIRECT": "false"}
        user = User.objects.create_user("search-bench", password=secrets.token_urlsafe())
        self.token = open_pair(user).access
        self.dice = random.Random(7)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(self.dice.choices(letters, k=self.dice.randint(4, 10))) for _ in range(VOCABULARY)]
        weights = [1 / (rank + 10) for rank in range(VOCABULARY)]
        with self.place.connection() as connection:
            connection.execute("SET session_replication_role = replica")  # no trigger: it is searching that is measured
            number = self.place.scaled(PRODUCTS)
            with connection.cursor().copy(
                "COPY shop_product (owner_id, name, description, price, stock) FROM STDIN"
            ) as copy:
                for _ in range(number):
                    chosen = self.dice.choices(self.words, weights, k=WORDS)
                    copy.write_row((user.pk, " ".join(chosen[:3]), " ".join(chosen[3:]), "1.00", 1))
            connection.execute(
                "INSERT INTO shop_searchentry SELECT id, to_tsvector('simple', name || ' ' || description)"
                " FROM shop_product p WHERE NOT EXISTS (SELECT FROM shop_searchentry e WHERE e.product_id = p.id)"
            )
            connection.execute("INSERT INTO shop_unlearntproduct SELECT product_id FROM shop_searchentry")
            learn_words()
            connection.execute("VACUUM ANALYZE")

    def manners(self) -> dict[str, Manner]:
        return {"database": self._database, "API": self._api}

    def _texts(self) -> dict[str, Callable[[], str]]:
        def word() -> str:
            return self.dice.choice(self.words[: VOCABULARY // 10])

        return {
            "one word": word,
            "two words": lambda: f"{word()} {word()}",
            "prefix": lambda: word()[:3],
            "misspelt": lambda: f"{_without_a_letter(word(), self.dice)} {word()}",
        }

    def _database(self) -> Figures:
        user = User.objects.get(username="search-bench")

        def search(text: str) -> None:
            rows = search_engine().narrow(Product.objects.visible_to(user), text)
            list(rows.order_by("-id").values_list("pk")[:SHOWN])

        return self._measured(search, "")

    def _api(self) -> Figures:
        with (
            (self.place.folder / "requests.log").open("w") as log,
            serving("lockstep.config.wsgi:application", "wsgi", 1, errors=log) as address,
            httpx.Client(base_url=address, headers={"Authorization": f"Bearer {self.token}"}, trust_env=False) as http,
        ):

            def search(text: str) -> None:
                http.get("/api/v1/products/", params={"search": text, "limit": SHOWN}).raise_for_status()

            return self._measured(search, ", API")

    def _measured(self, search: Callable[[str], None], suffix: str) -> Figures:
        figures: Figures = {}
        for kind, text in self._texts().items():
            taken = sorted(_milliseconds(search, text()) for _ in range(ASKED))
            figures |= {f"{kind}, p50{suffix}": statistics.median(taken), f"{kind}, p99{suffix}": taken[-ASKED // 100]}
        return figures


def _milliseconds(search: Callable[[str], None], text: str) -> float:
    began = time.perf_counter()
    search(text)
    return (time.perf_counter() - began) * 1000


def _without_a_letter(word: str, dice: random.Random) -> str:
    place = dice.randrange(1, len(word))
    return word[:place] + word[place + 1 :]
