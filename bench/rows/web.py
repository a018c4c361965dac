"""A list and an object over HTTP, with all API conventions, beside frameworks that people know."""

import os
import secrets
from contextlib import ExitStack

import jwt

from backend.accounts.models import User
from backend.accounts.sessions import open_opaque, open_pair
from backend.posts.models import Post
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.web.serving import WORKERS, requests_per_second, serving, serving_ours

POSTS, SECONDS = 100_000, 4.0
OURS = "/fakeapi/v1/posts/{}"


class Web(Row):
    note = (
        f"requests/s of wrk with 16 connections, {POSTS:,} posts of 200 bytes, {WORKERS} processes of granian each, "
        "on two cores with PostgreSQL and wrk. List: 50 posts by number. Ours: all API conventions, and a check of the "
        "database for each token; signed and opaque ones. FastAPI: asyncpg, orjson, signed tokens that cannot be "
        "revoked, written by hand, and nothing else. REST framework: ModelSerializer, LimitOffsetPagination, "
        "Django's own middleware, the token's user from the database."
    )
    comparisons = (
        Comparison("list of 50 : FastAPI + asyncpg + orjson", "list", "FastAPI, list", Goal("at least", 1.2)),
        Comparison("list of 50 : REST framework", "list", "REST framework, list", Goal("at least", 8)),
        Comparison("get : FastAPI + asyncpg + orjson", "get", "FastAPI, get", Goal("at least", 1.2)),
        Comparison("get : REST framework", "get", "REST framework, get"),
        Comparison("get, opaque token : signed", "get, opaque", "get"),
    )

    def prepare(self) -> None:
        os.environ |= {"BENCH_KEY": secrets.token_urlsafe(48), "RATE_LIMIT": "1000000000", "LOG_LEVEL": "INFO"}
        os.environ["SECURE_SSL_REDIRECT"] = "false"  # wrk comes without TLS
        user = User.objects.create_user("bench", password=secrets.token_urlsafe())
        Post.objects.bulk_create(
            (Post(title=f"Post {n}", body="word " * 40) for n in range(self.place.scaled(POSTS))), batch_size=10_000
        )
        with self.place.connection() as connection:
            connection.execute("VACUUM ANALYZE posts_post")
        self.number = Post.objects.order_by("-number").values_list("number", flat=True)[self.place.scaled(POSTS) // 2]
        self.signed, self.opaque = open_pair(user).access, open_opaque(user)
        self.foreign = jwt.encode({"sub": str(user.pk)}, os.environ["BENCH_KEY"], "HS256")

    def variants(self) -> dict[str, Variant]:
        return {"Lockstep": self._ours, "FastAPI": self._fastapi, "REST framework": self._rest_framework}

    def _ours(self) -> Figures:
        with ExitStack() as stack:
            errors = stack.enter_context((self.place.folder / "requests.log").open("w"))
            address = stack.enter_context(serving_ours(errors))
            get = address + OURS.format(f"{self.number}/")
            return {
                "list": requests_per_second(address + OURS.format("?_limit=50"), self.signed, SECONDS),
                "get": requests_per_second(get, self.signed, SECONDS),
                "get, opaque": requests_per_second(get, self.opaque, SECONDS),
            }

    def _fastapi(self) -> Figures:
        with serving("bench.web.fastapi_app:app", "asgi", 1) as address:
            return {f"FastAPI, {name}": rate for name, rate in self._theirs(address).items()}

    def _rest_framework(self) -> Figures:
        with serving("bench.web.drf_app:application", "wsgi", 4) as address:
            return {f"REST framework, {name}": rate for name, rate in self._theirs(address).items()}

    def _theirs(self, address: str) -> Figures:
        return {
            "list": requests_per_second(f"{address}/posts?limit=50", self.foreign, SECONDS),
            "get": requests_per_second(f"{address}/posts/{self.number}", self.foreign, SECONDS),
        }
