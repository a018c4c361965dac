"""The shop over HTTP, with all API conventions and capture, beside the same by hand, and the database's own limit."""

import os
import secrets
from contextlib import ExitStack

import jwt

from backend.accounts.entitlement import ENTITLEMENT
from backend.accounts.models import Session, User
from backend.accounts.sessions import open_pair
from backend.shop.catalogue.reads import BUNDLED_SQL
from backend.shop.models import Order, Product, ProductTag, Tag
from backend.shop.orders.actions import SQL as ORDERS
from bench.processes import as_in_pgbench, run_pgbench
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.web.serving import CONNECTIONS, WORKERS, orders_per_second, requests_per_second, serving, serving_ours
from lockstep.changes.attribution import ATTRIBUTED
from lockstep.rest.fastpath import for_user
from lockstep.rest.paging import MAX_PAGE_BYTES
from lockstep.sql import Statement

PRODUCTS, TAGS, SECONDS = 100_000, 1_000, 4.0
BUYERS = CONNECTIONS  # one a client: each has a session
SPREAD, LINES = 5_000, 2
THEIRS = """
CREATE TABLE bench_product AS SELECT id, number, name, price, stock FROM shop_product;
ALTER TABLE bench_product ADD PRIMARY KEY (id), ADD UNIQUE (number), ADD CHECK (stock >= 0);
CREATE TABLE bench_order (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, buyer_id uuid NOT NULL REFERENCES accounts_user,
    total numeric NOT NULL, state text NOT NULL DEFAULT 'PENDING', created timestamptz NOT NULL DEFAULT now());
CREATE TABLE bench_line (
    order_id bigint NOT NULL REFERENCES bench_order, product_id uuid NOT NULL REFERENCES bench_product,
    price numeric NOT NULL, quantity int NOT NULL, PRIMARY KEY (order_id, product_id));
CREATE TABLE bench_movement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id uuid NOT NULL REFERENCES bench_product,
    order_id bigint REFERENCES bench_order, delta bigint NOT NULL, actor text, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON bench_movement (product_id);
CREATE INDEX ON bench_movement (order_id);
CREATE TABLE bench_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), kind text NOT NULL,
    object_id text NOT NULL, actor text, after jsonb);
CREATE TABLE bench_key (
    user_id uuid NOT NULL REFERENCES accounts_user, key text NOT NULL, request text NOT NULL, answer text,
    created timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (user_id, key))
"""

USER = Statement("%(user)s")


class Shop(Row):
    note = (
        f"requests/s of wrk with 16 connections, {PRODUCTS:,} products with two tags each, {WORKERS} processes of "
        "granian, on two cores with PostgreSQL and wrk. List: the 50 newest with their tags. Orders: two lines among "
        f"{SPREAD:,} products, or one of a single product, by {BUYERS} buyers in turn. Ours: conventions, capture and "
        "the ledger on; a product holds the names of its tags (decision 27). FastAPI looks them up: asyncpg, orjson, "
        "tokens that cannot be revoked; its orders lock, take and insert in one transaction, in tables of their own, "
        "without capture and ledger. FastAPI that promises the same: the session is confirmed in the transaction, "
        "every order has an Idempotency-Key (on both sides), a row in a ledger for each line and one in an outbox. "
        "pgbench: our own statements, planned once as ours are, 16 clients."
    )
    comparisons = (
        Comparison("list of 50 : FastAPI + asyncpg + orjson", "list", "FastAPI, list", Goal("at least", 1.5)),
        Comparison("list of 50 : REST framework", "list", "REST framework, list", Goal("at least", 8)),
        Comparison("get : FastAPI + asyncpg + orjson", "get", "FastAPI, get", Goal("at least", 1.2)),
        Comparison("get : REST framework", "get", "REST framework, get"),
        Comparison("order, spread : FastAPI", "order", "FastAPI, order", Goal("at least", 1.0)),
        Comparison("order, hot : FastAPI", "order, hot", "FastAPI, order, hot", Goal("at least", 1.6)),
        Comparison(
            "order with a key, spread : FastAPI that promises the same",
            "order, key",
            "FastAPI, order, key",
            Goal("at least", 1.5),
        ),
        Comparison(
            "order with a key, hot : FastAPI that promises the same",
            "order, key, hot",
            "FastAPI, order, key, hot",
            Goal("at least", 2),
        ),
        Comparison("order, hot : pgbench", "order, hot", "pgbench, order, hot", Goal("at least", 0.9)),
        Comparison("order, spread : pgbench", "order", "pgbench, order"),
        Comparison("list of 50 : pgbench", "list", "pgbench, list"),
    )

    def prepare(self) -> None:
        os.environ |= {"BENCH_KEY": secrets.token_urlsafe(48), "RATE_LIMIT": "1000000000", "LOG_LEVEL": "INFO"}
        os.environ["SECURE_SSL_REDIRECT"] = "false"  # wrk comes without TLS
        os.environ |= {"UNPAID_ORDERS_PER_USER": "0", "UNPAID_UNITS_PER_USER": "0"}  # some users place all of them
        user = User.objects.create_user("shop-bench", password=secrets.token_urlsafe())
        self.user = user
        tags = Tag.objects.bulk_create(Tag(name=f"tag {n}") for n in range(TAGS))
        number = self.place.scaled(PRODUCTS)
        made = Product.objects.bulk_create(
            (
                Product(owner=user, name=f"Product {n}", description="word " * 40, price="9.90", stock=10**9)
                for n in range(number)
            ),
            batch_size=10_000,
        )
        ProductTag.objects.bulk_create(
            (
                ProductTag(product=product, tag=tags[(n + k * 7) % TAGS])
                for n, product in enumerate(made)
                for k in range(2)
            ),
            batch_size=10_000,
        )
        with self.place.connection() as connection:
            connection.execute("VACUUM ANALYZE")
            for statement in THEIRS.split(";"):
                connection.execute(statement)
        self.numbers = list(Product.objects.order_by("-number").values_list("number", flat=True)[:SPREAD])
        buyers = [User.objects.create_user(f"shop-bench-{n}", password=secrets.token_urlsafe()) for n in range(BUYERS)]
        self.signed = [open_pair(buyer).access for buyer in buyers]
        self.sessions = list(Session.objects.filter(user__in=buyers).values_list("user_id", "pk"))
        key = os.environ["BENCH_KEY"]
        self.foreign = [jwt.encode({"sub": str(one), "sid": str(sid)}, key, "HS256") for one, sid in self.sessions]

    def variants(self) -> dict[str, Variant]:
        return {
            "Lockstep": self._ours,
            "FastAPI": self._fastapi,
            "REST framework": self._rest_framework,
            "pgbench": self._pgbench,
        }

    def _ours(self) -> Figures:
        with ExitStack() as stack:
            errors = stack.enter_context((self.place.folder / "requests.log").open("w"))
            address = stack.enter_context(serving_ours(errors))
            before = Order.objects.count()
            figures = self._rates(f"{address}/api/v1", self.signed, "/", "?limit=50")
            if Order.objects.count() == before:
                raise ValueError("no order was placed: look at the answers")
            return figures

    def _fastapi(self) -> Figures:
        with serving("bench.web.fastapi_app:app", "asgi", 1) as address:
            figures = self._rates(address, self.foreign, "", "?limit=50", "/promising")
            return {f"FastAPI, {name}": rate for name, rate in figures.items()}

    def _rates(self, address: str, tokens: list[str], slash: str, page: str, promising: str = "") -> Figures:
        orders, kept = f"{address}/orders{slash}", f"{address}{promising}/orders{slash}"
        folder, one = self.place.folder, self.numbers[:1]
        return {
            "list": requests_per_second(f"{address}/products{slash}{page}", tokens[0], SECONDS),
            "get": requests_per_second(f"{address}/products/{self.numbers[0]}{slash}", tokens[0], SECONDS),
            "order": orders_per_second(orders, tokens, SECONDS, self.numbers, LINES, folder),
            "order, hot": orders_per_second(orders, tokens, SECONDS, one, 1, folder),
            "order, key": orders_per_second(kept, tokens, SECONDS, self.numbers, LINES, folder, keys=True),
            "order, key, hot": orders_per_second(kept, tokens, SECONDS, one, 1, folder, keys=True),
        }

    def _rest_framework(self) -> Figures:
        with serving("bench.web.drf_app:application", "wsgi", 1) as address:
            return {
                "REST framework, list": requests_per_second(f"{address}/products?limit=50", self.foreign[0], SECONDS),
                "REST framework, get": requests_per_second(
                    f"{address}/products/{self.numbers[0]}", self.foreign[0], SECONDS
                ),
            }

    def _pgbench(self) -> Figures:
        return {f"pgbench, {name}": self._statement(name, text) for name, text in self._statements().items()}

    def _statement(self, name: str, text: str) -> float:
        script = self.place.folder / "statement.sql"
        script.write_text(text)
        planned_once = "-c plan_cache_mode=force_generic_plan"  # as for our web server's connections
        return run_pgbench(self.place.url, script, clients=16, seconds=int(SECONDS), settings=planned_once)

    def _statements(self) -> dict[str, str]:
        """Our own, as pgbench takes them."""
        low, high = min(self.numbers), max(self.numbers)
        chosen = "".join(f"\\set n{line} random({low}, {high})\n" for line in range(LINES))
        numbers = ", ".join(f":n{line}" for line in range(LINES))
        return {
            "list": _filled(
                for_user(BUNDLED_SQL["few_older"], Statement("%(user)s")),
                user=f"'{self.user.pk}'",
                place="NULL",
                limit="50",
                bytes=str(MAX_PAGE_BYTES),
            ),
            "order": chosen + self._place(numbers, LINES),
            "order, hot": self._place(str(self.numbers[0]), 1),
        }

    def _place(self, numbers: str, lines: int) -> str:
        nothing, ones = ", ".join(["NULL"] * lines), ", ".join(["1"] * lines)
        users, sessions = (", ".join(f"'{one}'" for one in column) for column in zip(*self.sessions, strict=True))
        buyer, session = (f"(ARRAY[{keys}]::uuid[])[:buyer]" for keys in (users, sessions))
        return f"\\set buyer random(1, {BUYERS})\n" + _filled(
            ORDERS["place"].with_parts(attributed=ATTRIBUTED, confirmed=ENTITLEMENT["of_session"]),
            lockstep_actor=f"'user:' || {buyer}",
            lockstep_origin="''",
            lockstep_trace="''",
            lockstep_traceparent="''",
            actor_user=buyer,
            actor_session=session,
            actor_staff="false",
            id="lockstep_uuid7()",
            buyer=buyer,
            state="'PENDING_CONFIRMATION'",
            products=f"ARRAY[{nothing}]",
            numbers=f"ARRAY[{numbers}]",
            quantities=f"ARRAY[{ones}]",
            seconds="300",
            max_quantity="1000000",
            most_orders="NULL",
            most_units="NULL",
        )


def _filled(statement: str, **values: str) -> str:
    for name, value in values.items():
        statement = statement.replace(f"%({name})s", value)
    return as_in_pgbench(statement)
