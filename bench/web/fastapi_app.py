"""What a careful engineer would write for these two routes with FastAPI, asyncpg and orjson, and nothing else."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
import jwt
import orjson
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response

KEY = os.environ["BENCH_KEY"]
LIST = """
SELECT user_id AS "userId", number AS id, title, body
FROM posts_post WHERE deleted IS NULL ORDER BY number LIMIT $1 OFFSET $2
"""
GET = 'SELECT user_id AS "userId", number AS id, title, body FROM posts_post WHERE number = $1 AND deleted IS NULL'


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the connections."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=8) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def user(authorization: Annotated[str, Header()]) -> str:
    """Who asks, as the token says."""
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), KEY, ["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return str(claims["sub"])


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
