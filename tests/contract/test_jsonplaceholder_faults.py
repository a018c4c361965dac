"""The client against a provider in trouble: what it reports must be what happened."""

import asyncio
import socket
import sys
from contextlib import ExitStack

import pytest

from backend.providers.jsonplaceholder import JsonPlaceholder
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.http.errors import MalformedResponse, ProviderError, ServerError, Throttled, Unreachable
from tests.support import eventually

POST = {"title": "t", "body": "b", "userId": 1}


@pytest.fixture
def server():
    with StandIn(posts=10, comments_per_post=500) as running:
        yield running


def talk(server, work, deadline=5.0):
    async def run():
        async with JsonPlaceholder(server.url, deadline=deadline) as client:
            return await work(client)

    return asyncio.run(run())


def create(client):
    return client.create("posts", POST)


def trouble(server, work, **options):
    with pytest.raises(ProviderError) as caught:
        talk(server, work, **options)
    return caught.value


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"cut": True}, Unreachable),
        ({"status": 500}, ServerError),
        ({"status": 504}, ServerError),
        ({"garbage": True}, MalformedResponse),
        ({"latency": 30}, Unreachable),
    ],
)
def test_a_write_without_a_good_answer_may_have_been_applied(server, fault, kind, after_effect):
    server.faults(**fault, after_effect=after_effect, times=1)
    error = trouble(server, create, deadline=0.3 if "latency" in fault else 5.0)
    assert type(error) is kind
    assert (error.retryable, error.outcome_unknown) == (True, True)
    if after_effect:
        eventually(lambda: len(server.rows("posts")) == 11, "the write to be applied")
    assert len(talk(server, lambda client: client.find("posts", {"title": "t"}))) == after_effect


def test_a_write_refused_by_throttling_was_not_applied(server):
    server.faults(status=429, retry_after=4, times=1)
    error = trouble(server, create)
    assert type(error) is Throttled
    assert (error.retry_after, error.outcome_unknown) == (4.0, False)


def test_a_provider_that_is_not_there():
    with StandIn(posts=1) as gone:
        pass
    error = trouble(gone, create)
    assert type(error) is Unreachable
    assert (error.retryable, error.outcome_unknown) == (True, False)


def test_a_provider_that_goes_away_between_two_requests():
    async def work(client, ended):
        await client.get("posts", "1")
        await asyncio.to_thread(ended.__exit__, None, None, None)
        await client.get("posts", "1")

    server = StandIn(posts=1).__enter__()
    assert type(trouble(server, lambda client: work(client, server))) is Unreachable


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux leaves a connection to a full backlog waiting")
def test_a_provider_that_accepts_no_connection():
    """A full backlog leaves us knocking: nothing has been sent when the time is up."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as knocking:
        for _ in range(3):
            one = knocking.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())

        async def work():
            async with JsonPlaceholder(f"http://127.0.0.1:{full.getsockname()[1]}", deadline=0.3) as client:
                await create(client)

        with pytest.raises(Unreachable) as caught:
            asyncio.run(work())
    assert caught.value.outcome_unknown is False


@pytest.mark.parametrize("collection", ["posts", "comments"])
def test_a_cut_stream_raises(server, collection):
    async def work(client):
        async with client.stream(collection) as batches:
            return [row async for batch in batches for row in batch]

    server.faults(cut=True, times=1)
    error = trouble(server, work)
    assert type(error) is MalformedResponse
    assert talk(server, work) == server.rows(collection)


def test_ids_as_strings_change_nothing(server):
    server.faults(ids_as_strings=True)
    assert talk(server, create) == "11"
    assert [row["title"] for row in talk(server, lambda client: client.find("posts", {"id": 11, "userId": 1}))] == ["t"]


def test_a_storm_of_faults_ends_in_the_right_state(server):
    """Looks before it sends again, as a caller must, and so makes each object once."""
    server.faults(
        {"status": 503, "share": 0.2, "after_effect": True},
        {"cut": True, "share": 0.2, "after_effect": True},
        {"cut": True, "share": 0.2},
    )

    async def make(client, title):
        for _ in range(100):
            try:
                if not await client.find("posts", {"title": title}):
                    await client.create("posts", {**POST, "title": title})
                return
            except ProviderError as error:
                assert error.retryable

    talk(server, lambda client: asyncio.gather(*[make(client, f"storm {number}") for number in range(30)]))
    titles = [row["title"] for row in server.rows("posts")[10:]]
    assert sorted(titles) == sorted(f"storm {number}" for number in range(30))
