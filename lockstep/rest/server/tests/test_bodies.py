"""Bodies are read within limits of size, time, pieces and memory."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import pytest

from lockstep.rest.server.bodies import Bodies, Limits
from lockstep.rest.server.refusals import ClientGone, Refusal
from tests.support import WAIT_TIMEOUT

LIMITS: dict[str, Any] = {
    "max_bytes": 1_000,
    "seconds": 60.0,
    "bytes_per_second": 1_000,
    "max_bytes_together": 1_500,
}
NEVER = object()


def client(*pieces: bytes | object, ends: bool = False) -> Any:
    """ASGI's `receive` for a client that sends these pieces, and then nothing or its disconnection."""
    waiting = list(pieces)

    async def receive() -> dict[str, Any]:
        if waiting and waiting[0] is not NEVER:
            return {"type": "http.request", "body": waiting.pop(0), "more_body": True}
        if ends:
            return {"type": "http.disconnect"}
        return await asyncio.get_running_loop().create_future()

    return receive


def read(receive: Any, length: int, **limits: Any) -> bytes:
    return asyncio.run(asyncio.wait_for(whole(Bodies(Limits(**LIMITS | limits)), receive, length), WAIT_TIMEOUT))


async def whole(bodies: Bodies, receive: Any, length: int) -> bytes:
    async with bodies.held(receive, length) as body:
        return body


def refusal(receive: Any, length: int, **limits: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        read(receive, length, **limits)
    return refused.value


def test_a_body_is_read_as_sent():
    assert read(client(b"ab", b"c"), 3) == b"abc"


def test_a_body_declared_too_large_is_not_read():
    refused = refusal(client(NEVER), 1_001)
    assert (refused.status, refused.detail) == (413, "The body is larger than 1,000 bytes.")


def test_a_body_that_grows_larger_than_declared_and_allowed_is_refused():
    assert refusal(client(*[b"x" * 600] * 2), 1_000).status == 413


def test_a_body_that_does_not_arrive_is_refused():
    assert refusal(client(NEVER), 3, seconds=0.01).status == 408
    assert refusal(client(b"ab", NEVER), 3, seconds=0.01).status == 408


def test_arriving_bytes_extend_the_deadline():
    """At one byte a second, 500 bytes are minutes more than the hundredth of a second that there is to begin with."""

    async def slow() -> dict[str, Any]:
        if sent:
            await asyncio.sleep(0.1)
        sent.append(1)
        return {"type": "http.request", "body": b"x" * 500, "more_body": True}

    sent: list[int] = []
    assert len(read(slow, 1_000, seconds=0.01, bytes_per_second=1)) == 1_000


def test_many_small_pieces_are_refused():
    assert refusal(client(*[b"x"] * 200), 300).detail == "The body arrives in too many pieces. Send it in larger ones."


def test_a_client_that_leaves_is_not_answered():
    with pytest.raises(ClientGone):
        read(client(b"ab", ends=True), 3)


def together(bodies: Iterable[Coroutine[Any, Any, bytes]]) -> list[Any]:
    async def gather() -> list[Any]:
        return await asyncio.gather(*bodies, return_exceptions=True)

    return asyncio.run(gather())


def test_the_oldest_body_is_dropped_when_memory_is_full():
    bodies = Bodies(Limits(**LIMITS))
    stuck = whole(bodies, client(b"x" * 900, NEVER), 901)
    first, second = together([stuck, whole(bodies, client(b"x" * 400, b"x" * 400), 800)])
    assert (first.status, first.headers["Retry-After"], len(second)) == (503, "2", 800)
    assert together([whole(bodies, client(b"x" * 1_000), 1_000)]) == [b"x" * 1_000]


def test_a_complete_body_takes_memory_until_its_response():
    async def one_after_the_other() -> tuple[Any, bytes]:
        bodies = Bodies(Limits(**LIMITS))
        async with bodies.held(client(b"x" * 1_000), 1_000):
            [meanwhile] = await asyncio.gather(whole(bodies, client(b"x" * 600), 600), return_exceptions=True)
        return meanwhile, await whole(bodies, client(b"x" * 600), 600)

    meanwhile, after = asyncio.run(one_after_the_other())
    assert (meanwhile.status, meanwhile.headers["Retry-After"], len(after)) == (503, "2", 600)
