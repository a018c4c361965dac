"""What a counter may answer."""

import asyncio

import httpx
import pytest

from backend.providers.counter import Counter, Tally
from lockstep.http.errors import MalformedResponse, ProviderError, Refused, ServerError


def tallies(answer: httpx.Response) -> dict[int, Tally]:
    async def ask() -> dict[int, Tally]:
        counter = Counter("http://counter.test/at/hook")
        counter._http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        async with counter:
            return await counter.tallies()

    def handler(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://counter.test/at/hook"
        return answer

    return asyncio.run(ask())


def test_the_tallies_of_each_user():
    shown = {"users": {"1": {"create": 3, "delete": 1}, "22": {"create": 1}}, "messages": 5}
    assert tallies(httpx.Response(200, json=shown)) == {1: Tally(3, 1), 22: Tally(1, 0)}
    assert tallies(httpx.Response(200, json={"users": {}})) == {}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(200, json={}), MalformedResponse),
        (httpx.Response(200, json={"users": []}), MalformedResponse),
        (httpx.Response(200, json={"users": {"ada": {"create": 1}}}), MalformedResponse),
        (httpx.Response(200, json={"users": {"1": 3}}), MalformedResponse),
        (httpx.Response(200, json={"users": {"1": {"create": -1}}}), MalformedResponse),
        (httpx.Response(200, json={"users": {"1": {"create": True}}}), MalformedResponse),
        (httpx.Response(200, text="hello"), MalformedResponse),
        (httpx.Response(500), ServerError),
        (httpx.Response(405), Refused),
    ],
)
def test_invalid_tallies_are_errors(answer: httpx.Response, error: type[ProviderError]):
    with pytest.raises(error):
        tallies(answer)
