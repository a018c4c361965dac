"""What November 7 does, and what we make of it."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from uuid import UUID

import httpx
import pytest

from backend.providers.november7 import Listing, November7, RemoteMovie
from lockstep.http.errors import MalformedResponse, ProviderError, Refused, ServerError, Unreachable

KEY = UUID("7a1f0e52-3f0d-4c0e-9d0b-6f1b2a5c7d11")
MOVIE = {
    "id": str(KEY),
    "title": "The Quiet Harbour",
    "description": "d",
    "image_url": "https://i/1.jpg",
    "rating": 7.5,
}
GOOD = httpx.Response(200, json={"total": 1, "items": [MOVIE]})

Handler = Callable[[httpx.Request], httpx.Response]


def listing(handler: Handler | Sequence[httpx.Response], url: str = "https://movies.test", **options) -> Listing:
    """The client's result for these responses, of which the last one is repeated."""
    outcomes = options.setdefault("outcomes", Counter())
    del options["outcomes"]

    async def ask() -> Listing:
        answers = list(handler) if isinstance(handler, Sequence) else []

        def answer(request: httpx.Request) -> httpx.Response:
            if not isinstance(handler, Sequence):
                return handler(request)
            kept = answers.pop(0) if len(answers) > 1 else answers[0]
            return httpx.Response(kept.status_code, headers=kept.headers, content=kept.content)

        transport = httpx.MockTransport(answer)
        observe = lambda outcome: outcomes.update([outcome])  # noqa: E731
        async with November7(url, transport=transport, observe=observe, **{"deadline": 1.0} | options) as provider:
            return await provider.listing()

    return asyncio.run(ask())


def page(*items: object, total: object = 1) -> httpx.Response:
    return httpx.Response(200, json={"total": total, "items": list(items)})


def test_listing_requests_and_returns_all_movies():
    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, dict(request.url.params)) == ("/movies/", {"skip": "0", "limit": "1000"})
        assert request.headers["user-agent"].startswith("lockstep/")
        return GOOD

    found = listing(handler)
    assert found == Listing(1, [RemoteMovie(KEY, "The Quiet Harbour", "d", "https://i/1.jpg", 7.5)])
    assert found.is_whole


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 429, 500, 503])
def test_temporary_errors_are_retried(status: int):
    outcomes = Counter()
    assert listing([httpx.Response(status), httpx.Response(status), GOOD], outcomes=outcomes).total == 1
    assert outcomes == {str(status): 2, "200": 1}


def test_a_422_is_not_retried():
    outcomes = Counter()
    with pytest.raises(Refused):
        listing([httpx.Response(422, json={"detail": []}), GOOD], outcomes=outcomes)
    assert outcomes == {"422": 1}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"total": "x", "items": []}),
        httpx.Response(200, json={"total": -1, "items": []}),
        httpx.Response(200, json={"total": 1, "items": None}),
        httpx.Response(200, headers={"Content-Length": "99999999"}, content=b""),
    ],
)
def test_an_invalid_page_is_requested_again(answer: httpx.Response):
    outcomes = Counter()
    assert listing([answer, GOOD], outcomes=outcomes).total == 1
    assert outcomes == {"garbled": 1, "200": 1}


@pytest.mark.parametrize("odd", ["x", None, [], {"id": "x", "title": "t"}, {"id": 7, "title": "t"}, {"title": "t"}])
def test_a_movie_without_an_id_is_left_out_and_the_listing_incomplete(odd: object):
    found = listing([page(MOVIE, odd, total=2)])
    assert [movie.id for movie in found.movies] == [KEY]
    assert not found.is_whole


@pytest.mark.parametrize("title", ["", None, 7, "\ud800", ["t"]])
def test_a_movie_without_a_storable_title_is_left_out_and_logged(title: object, caplog: pytest.LogCaptureFixture):
    text = json.dumps({"total": 2, "items": [MOVIE, MOVIE | {"id": str(UUID(int=1)), "title": title}]})
    found = listing([httpx.Response(200, content=text.encode())])
    assert ([movie.id for movie in found.movies], found.left_out) == ([KEY], {UUID(int=1)})
    assert found.is_whole
    assert str(UUID(int=1)) in caplog.text


def test_a_body_beyond_the_limit_is_not_read_to_its_end():
    async def endless():
        for _ in range(200):
            yield b" " * 100_000
        raise AssertionError("read to its end")

    with pytest.raises(MalformedResponse, match="more than"):
        listing(lambda request: httpx.Response(200, content=endless()), deadline=0.5)


def test_retries_end_at_the_deadline_with_the_last_error():
    for answer, error in ((httpx.Response(404), ServerError), (httpx.Response(200), MalformedResponse)):
        with pytest.raises(error):
            listing([answer], deadline=0.2)


def test_a_provider_that_does_not_answer_is_retried(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backend.providers.november7.client.ATTEMPT_SECONDS", 0.1)
    asked = []

    async def slow(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await asyncio.sleep(30 if len(asked) == 1 else 0)
        return GOOD

    assert listing(slow).total == 1
    asked.clear()
    with pytest.raises(Unreachable):
        listing(slow, deadline=0.05)


@pytest.mark.parametrize(
    "location",
    ["http://movies.test/movies/", "https://elsewhere.test/movies/", "/movies/", "http://169.254.169.254/movies/"],
)
def test_a_redirect_keeps_scheme_host_and_port(location: str):
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url.copy_with(query=None)), request.headers["host"]))
        return GOOD if len(asked) > 1 else httpx.Response(307, headers={"Location": location})

    assert listing(handler, url="https://movies.test:8443").total == 1
    assert asked == [("https://movies.test:8443/movies/", "movies.test:8443")] * 2


def test_redirect_loop_is_an_error():
    with pytest.raises(ProviderError):
        listing([httpx.Response(307, headers={"Location": "/movies/"})], deadline=0.2)


def test_older_schema_has_ids_and_titles():
    found = listing([page({"id": str(KEY), "title": "t"})])
    assert found == Listing(1, [RemoteMovie(KEY, "t")])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"description": 7}, {"description": None}),
        ({"image_url": "javascript:alert(1)"}, {"image_url": None}),
        ({"rating": "good"}, {"rating": None}),
        ({"rating": True}, {"rating": None}),
        ({"title": " a\0b "}, {"title": "ab"}),
        ({"description": "\ud800"}, {"description": None}),
        ({"rating": 10**400}, {"rating": None}),
    ],
)
def test_invalid_values_of_a_movie_are_none(changes: dict, expected: dict):
    text = json.dumps({"total": 1, "items": [MOVIE | changes]})
    [movie] = listing([httpx.Response(200, content=text.encode())]).movies
    for name, value in expected.items():
        assert getattr(movie, name) == value


def test_a_listing_is_complete_when_it_has_as_many_as_announced():
    other = MOVIE | {"id": str(UUID(int=1))}
    assert listing([page(MOVIE, other, total=2)]).is_whole
    assert not listing([page(MOVIE, total=2)]).is_whole
    assert not listing([page(MOVIE, MOVIE, total=2)]).is_whole
    assert not listing([page(total=0)]).is_whole


@pytest.mark.slow
def test_listing_is_complete_at_the_observed_rate_of_failures():
    dice = random.Random(9)
    odd = [httpx.Response(status) for status in (400, 401, 403, 404, 405, 402)] + [httpx.Response(200)]
    for _ in range(300):
        answers = [dice.choice(odd) if dice.random() < 0.1 else GOOD for _ in range(3)] + [GOOD]
        assert listing(answers).is_whole
