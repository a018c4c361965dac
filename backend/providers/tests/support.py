"""A client whose requests a function answers in the provider's place."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from lockstep.http.client import HttpClient
from lockstep.http.errors import ProviderError


def talk(
    kind: type[HttpClient],
    handler: Callable[[httpx.Request], Any],
    work: Callable[[Any], Awaitable[Any]],
    **options: Any,
) -> Any:
    """What `work` returns, with a client of this kind whose requests `handler` answers."""

    async def run() -> Any:
        async with kind("http://provider", transport=httpx.MockTransport(handler), **options) as client:
            return await work(client)

    return asyncio.run(run())


def fails(
    kind: type[HttpClient],
    handler: Callable[[httpx.Request], Any],
    work: Callable[[Any], Awaitable[Any]],
    **options: Any,
) -> ProviderError:
    """The error that `work` raises."""
    with pytest.raises(ProviderError) as caught:
        talk(kind, handler, work, **options)
    return caught.value
