"""Whatever JSON can hold and whatever bytes arrive: only ProviderErrors come out, and what comes out can be kept."""

import asyncio
import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields, is_dataclass
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.providers.counter import Counter
from backend.providers.jsonplaceholder import JsonPlaceholder
from backend.providers.november7 import November7
from backend.providers.november7 import client as movies_client
from backend.providers.payments import Card, PaymentGateway, cards, tokenise
from lockstep.http.errors import ProviderError
from lockstep.http.json_text import MAX_INTEGER, is_text
from lockstep.http.tests.odd_json import ODD, Raw, dumps, encode

SHARE = 11  # of what is tried in the long run, one in so many is a part of every run
MANY, FEW = 300, 6
URL = "http://provider.test"
POST = {"userId": 1, "id": 7, "title": "t", "body": "b"}
CHARGE = {"id": "c", "key": "k", "status": "approved", "reason": None, "amount": "1.00", "currency": "EUR"}
MOVIE = {"id": str(UUID(int=1)), "title": "t", "description": "d", "image_url": "https://i.test/1", "rating": 7.5}

Handler = Callable[[httpx.Request], httpx.Response]
Call = Callable[[Any], Any]


def _with(kind: type, work: Call) -> Callable[[str, httpx.AsyncBaseTransport | None], Any]:
    """A call of one method of one client, at a URL or by a transport."""

    def call(url: str, transport: httpx.AsyncBaseTransport | None) -> Any:
        async def run() -> Any:
            async with kind(url, transport=transport, deadline=2.0) as client:
                return await work(client)

        return asyncio.run(run())

    return call


def _tokenise(url: str, transport: httpx.AsyncBaseTransport | None) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if transport:
            client = httpx.Client(transport=transport, headers=cards._client().headers)
            patch.setattr(cards, "_client", lambda: client)
        return tokenise(url, Card("4242424242424242", "12/40", "987"), 2.0)


async def _stream(client: JsonPlaceholder) -> list[Any]:
    async with client.stream("posts") as batches:
        return [row async for batch in batches for row in batch]


# Each call, and a document that it understands.
CALLS = {
    "posts: get": (_with(JsonPlaceholder, lambda c: c.get("posts", "7")), POST),
    "posts: find": (_with(JsonPlaceholder, lambda c: c.find("posts", {"title": "t"})), [POST]),
    "posts: stream": (_with(JsonPlaceholder, _stream), [POST, POST | {"id": 8}]),
    "posts: create": (_with(JsonPlaceholder, lambda c: c.create("posts", {"title": "t"})), POST),
    "posts: update": (_with(JsonPlaceholder, lambda c: c.update("posts", "7", {"title": "t"})), POST),
    "posts: delete": (_with(JsonPlaceholder, lambda c: c.delete("posts", "7")), POST),
    "counter": (_with(Counter, lambda c: c.tallies()), {"users": {"1": {"create": 1, "delete": 0}}}),
    "payments: charge": (_with(PaymentGateway, lambda c: c.charge("t", Decimal("1.00"), "EUR", "k")), CHARGE),
    "payments: look up": (_with(PaymentGateway, lambda c: c.look_up("k")), {"items": [CHARGE]}),
    "payments: tokenise": (_tokenise, {"token": "tok_1", "last4": "4242"}),
    "movies": (_with(November7, lambda c: c.listing()), {"total": 1, "items": [MOVIE]}),
}
ANYTHING = {"posts: get", "posts: find", "posts: stream"}  # these hand on what came: the mirror judges it


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movies_client, "PAUSES", (0.0, 0.0))


def outcome(name: str, url: str = URL, transport: httpx.AsyncBaseTransport | None = None) -> Any:
    """What a call gives, which can be kept, or its error, which can be logged. Anything else is raised."""
    try:
        result = CALLS[name][0](url, transport)
    except ProviderError as error:
        assert is_text(str(error))
        assert str(error).isprintable()
        assert len(str(error)) < 2_000
        return error
    if name not in ANYTHING:
        assert_can_be_kept(result)
    return result


def assert_can_be_kept(value: Any) -> None:
    """By PostgreSQL, by JSON, and by who reads that in JavaScript."""
    for one in parts(value):
        match one:
            case str():
                assert is_text(one)
            case int():
                assert 0 <= one <= MAX_INTEGER
            case float() | Decimal():
                assert one - one == 0
            case _:
                assert one is None or isinstance(one, UUID), one


def parts(value: Any) -> Iterator[Any]:
    """The single values of which a result is made."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    elif is_dataclass(value):
        value = [getattr(value, one.name) for one in fields(value)]
    if not isinstance(value, list | tuple | frozenset):
        yield value
        return
    for one in value:
        yield from parts(one)


def answering(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, headers=headers or {}, content=content))


def paths(document: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All positions in a document, the root first."""
    yield before
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, one in items:
        yield from paths(one, (*before, name))


def with_odd(document: Any, path: tuple[Any, ...], odd: Raw) -> Any:
    """The document with something odd in this place."""
    if not path:
        return odd
    changed = deepcopy(document)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = odd
    return changed


@pytest.mark.parametrize("name", CALLS)
def test_valid_document_gives_a_result(name: str):
    result = outcome(name, transport=answering(encode(dumps(CALLS[name][1])), 200))
    assert not isinstance(result, ProviderError), result


@pytest.mark.parametrize("name", CALLS)
def test_some_odd_values_give_a_result_or_a_provider_error(name: str):
    try_odd_values(name, SHARE)


@pytest.mark.faults
@pytest.mark.parametrize("name", CALLS)
def test_every_odd_value_in_every_place_gives_a_result_or_a_provider_error(name: str):
    try_odd_values(name, 1)


def try_odd_values(name: str, step: int) -> None:
    document = CALLS[name][1]
    for path, odd in list(product(paths(document), ODD))[::step]:
        outcome(name, transport=answering(encode(dumps(with_odd(document, path, odd)))))


def test_odd_movies_do_not_affect_the_others():
    odd = [MOVIE | {"id": str(UUID(int=n + 2)), "title": one, "description": one} for n, one in enumerate(ODD)]
    readable = [
        one for one, raw in zip(odd, ODD, strict=True) if len(raw.text) < 200_000 and "[" * 1_000 not in raw.text
    ]
    body = encode(dumps({"total": len(readable) + 1, "items": [*readable, MOVIE]}))
    found = outcome("movies", transport=answering(body))
    assert UUID(int=1) in {movie.id for movie in found.movies}
    assert found.is_whole


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=FEW, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_some_bytes_give_a_result_or_a_provider_error(name: str, data: st.DataObject):
    try_bytes(name, data)


@pytest.mark.faults
@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_many_bytes_give_a_result_or_a_provider_error(name: str, data: st.DataObject):
    try_bytes(name, data)


def try_bytes(name: str, data: st.DataObject) -> None:
    document = CALLS[name][1]
    path = data.draw(st.sampled_from(list(paths(document))))
    body = encode(dumps(with_odd(document, path, data.draw(st.sampled_from(ODD)))))
    body = data.draw(st.sampled_from([body, encode(dumps(document))]))
    body = data.draw(
        st.sampled_from(
            [
                body,
                body[: len(body) // 2],
                b"",
                b"\xef\xbb\xbf" + body,
                body.decode("utf-8", "replace").encode("utf-16"),
                body.replace(b"t", b"\xff"),
                body + b"\0",
                body + body,
                data.draw(st.binary(max_size=200)),
            ]
        )
    )
    encoding = data.draw(st.sampled_from(["", "gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "nonsense"]))
    body = data.draw(st.sampled_from([body, gzip.compress(body), gzip.compress(body)[:-9], zlib.compress(body)]))
    kind = data.draw(st.sampled_from(["application/json", "", "text/html; charset=hex", "x/y; title*=NOPE''a"]))
    headers = {"Content-Type": kind} | ({"Content-Encoding": encoding} if encoding else {})
    headers |= data.draw(st.sampled_from([{}, {"Retry-After": "9" * 400}, {"Location": "http://[oops"}]))
    status = data.draw(
        st.sampled_from([200, 200, 200, 201, 204, 206, 301, 307, 404, 409, 410, 422, 429, 500, 503, 599])
    )
    outcome(name, transport=answering(body, status, headers))


@pytest.mark.parametrize(
    "name", [name if name == "movies" else pytest.param(name, marks=pytest.mark.faults) for name in CALLS]
)
def test_body_of_ten_megabytes_is_an_error(name: str):
    large = b'{"items": [' + b"[]," * 3_500_000 + b"[]]}"
    result = outcome(name, transport=answering(large))
    assert isinstance(result, ProviderError)
    twice = gzip.compress(gzip.compress(large))
    result = outcome(name, transport=answering(twice, headers={"Content-Encoding": "gzip, gzip"}))
    assert isinstance(result, ProviderError)


ANSWERS = [
    b"",
    b"\0" * 100,
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 \xff\xfe\r\nX-\xe9: \xff\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n{}",
    b"HTTP/1.1 307 Away\r\nLocation: http://\xff[\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 307 Away\r\nLocation: //\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: Mon, 99 Foo 99999 99:99:99 +9999\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"220 smtp ready\r\n",
]


@contextmanager
def sending(answer: bytes) -> Iterator[str]:
    """A server that sends these bytes on each connection and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return  # the server was closed
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join()


@pytest.mark.parametrize(
    "number", [n if n % 5 == 0 else pytest.param(n, marks=pytest.mark.faults) for n in range(len(ANSWERS))]
)
def test_broken_http_gives_a_result_or_a_provider_error(number: int):
    with sending(ANSWERS[number]) as url:
        for name in CALLS:
            outcome(name, url)
