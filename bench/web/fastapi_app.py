"""What a careful engineer would write for these routes with FastAPI, asyncpg and orjson, and nothing else."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import jwt
import orjson
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response
from pydantic import BaseModel, Field

KEY = os.environ["BENCH_KEY"]
LIST = """
SELECT user_id AS "userId", number AS id, title, body
FROM posts_post WHERE deleted IS NULL ORDER BY number LIMIT $1 OFFSET $2
"""
GET = 'SELECT user_id AS "userId", number AS id, title, body FROM posts_post WHERE number = $1 AND deleted IS NULL'

PRODUCT = """
SELECT p.id, p.number, p.owner_id AS owner, p.name, p.description, p.price::text, p.stock, p.state,
       p.created, p.updated,
       array(SELECT t.name FROM shop_producttag l JOIN shop_tag t ON t.id = l.tag_id
             WHERE l.product_id = p.id AND l.deleted IS NULL AND t.deleted IS NULL ORDER BY lower(t.name)) AS tags
FROM shop_product p WHERE p.deleted IS NULL AND p.state = 'ON_SALE'
"""
PRODUCTS = f"{PRODUCT} ORDER BY p.id DESC LIMIT $1"
ONE_PRODUCT = f"{PRODUCT} AND p.number = $1"
LOCK = "SELECT id, number, name, price, stock FROM bench_product WHERE number = ANY($1) ORDER BY id FOR NO KEY UPDATE"
TAKE = "UPDATE bench_product SET stock = stock - $2 WHERE id = $1"
PLACE = """
INSERT INTO bench_order (buyer_id, total) VALUES ($1, $2) RETURNING id
"""
LINE = "INSERT INTO bench_line (order_id, product_id, price, quantity) VALUES ($1, $2, $3, $4)"
# What an order takes besides, where it promises what ours does.
CONFIRM = """
SELECT FROM accounts_user u JOIN accounts_session s ON s.user_id = u.id
WHERE u.id = $1 AND s.id = $2 AND u.is_active AND u.deleted IS NULL AND s.revoked IS NULL AND s.expires > now()
FOR KEY SHARE OF u, s
"""
NEW_KEY = "INSERT INTO bench_key (user_id, key, request) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key"
OLD_KEY = "SELECT request, answer FROM bench_key WHERE user_id = $1 AND key = $2"
ANSWER = "UPDATE bench_key SET answer = $3 WHERE user_id = $1 AND key = $2"
MOVEMENT = "INSERT INTO bench_movement (product_id, order_id, delta, actor) VALUES ($1, $2, $3, $4)"
OUTBOX = "INSERT INTO bench_outbox (kind, object_id, actor, after) VALUES ('order.created', $1, $2, $3)"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the connections."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=8) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def user(authorization: Annotated[str, Header()]) -> str:
    """The user that the token names."""
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), KEY, ["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return str(claims["sub"])


async def session(authorization: Annotated[str, Header()]) -> tuple[str, str]:
    """The same, and in which session."""
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), KEY, ["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return str(claims["sub"]), str(claims["sid"])


@app.get("/posts")
async def posts(
    who: Annotated[str, Depends(user)], limit: Annotated[int, Query(le=1000)] = 50, offset: int = 0
) -> Response:
    """A page of posts."""
    rows = await app.state.pool.fetch(LIST, limit, offset)
    return Response(orjson.dumps([dict(row) for row in rows]), media_type="application/json")


@app.get("/posts/{number}")
async def post(number: int, who: Annotated[str, Depends(user)]) -> Response:
    """One post."""
    row = await app.state.pool.fetchrow(GET, number)
    if row is None:
        raise HTTPException(404)
    return Response(orjson.dumps(dict(row)), media_type="application/json")


class Line(BaseModel):
    """So many of one product."""

    product: int
    quantity: Annotated[int, Field(ge=1)]


class Order(BaseModel):
    """What is to be ordered."""

    lines: list[Line]


@app.get("/products")
async def products(who: Annotated[str, Depends(user)], limit: Annotated[int, Query(le=500)] = 50) -> Response:
    """The newest products, with the names of their tags."""
    rows = await app.state.pool.fetch(PRODUCTS, limit)
    return Response(orjson.dumps([dict(row) for row in rows], default=str), media_type="application/json")


@app.get("/products/{number}")
async def product(number: int, who: Annotated[str, Depends(user)]) -> Response:
    """One product."""
    row = await app.state.pool.fetchrow(ONE_PRODUCT, number)
    if row is None:
        raise HTTPException(404)
    return Response(orjson.dumps(dict(row), default=str), media_type="application/json")


@app.post("/orders", status_code=201)
async def order(body: Order, who: Annotated[str, Depends(user)]) -> Response:
    """All of it or nothing; the products are locked in the order of their ids."""
    async with app.state.pool.acquire() as connection, connection.transaction():
        key, total, _ = await _placed(connection, body, who)
    return Response(orjson.dumps({"id": key, "total": str(total)}), status_code=201, media_type="application/json")


@app.post("/promising/orders", status_code=201)
async def promising_order(
    body: Order, who: Annotated[tuple[str, str], Depends(session)], idempotency_key: Annotated[str, Header()]
) -> Response:
    """The same, with what ours promises: a session that was not revoked, once per key, a ledger, an outbox."""
    user, opened = who
    request = body.model_dump_json()
    async with app.state.pool.acquire() as connection, connection.transaction():
        if await connection.fetchrow(CONFIRM, user, opened) is None:
            raise HTTPException(401)
        if await connection.fetchval(NEW_KEY, user, idempotency_key, request) is None:
            kept = await connection.fetchrow(OLD_KEY, user, idempotency_key)
            if kept["request"] != request:
                raise HTTPException(422)
            return Response(kept["answer"], status_code=201, media_type="application/json")
        key, total, lines = await _placed(connection, body, user)
        await connection.executemany(MOVEMENT, [(product, key, -quantity, user) for _, product, _, quantity in lines])
        answer = orjson.dumps({"id": key, "total": str(total), "lines": lines}, default=str).decode()
        await connection.execute(OUTBOX, str(key), user, answer)
        await connection.execute(ANSWER, user, idempotency_key, answer)
    return Response(answer, status_code=201, media_type="application/json")


async def _placed(connection: Any, body: Order, who: str) -> tuple[int, Any, list[tuple[Any, ...]]]:  # noqa: ANN401 - asyncpg's
    """The order's key, its total and its lines, within a transaction."""
    wanted = Counter[int]()
    for line in body.lines:
        wanted[line.product] += line.quantity
    found = await connection.fetch(LOCK, list(wanted))
    if len(found) < len(wanted) or any(row["stock"] < wanted[row["number"]] for row in found):
        raise HTTPException(409)
    total = sum(row["price"] * wanted[row["number"]] for row in found)
    key = await connection.fetchval(PLACE, who, total)
    lines = [(key, row["id"], row["price"], wanted[row["number"]]) for row in found]
    await connection.executemany(TAKE, [(product, quantity) for _, product, _, quantity in lines])
    await connection.executemany(LINE, lines)
    return key, total, lines
