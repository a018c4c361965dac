"""The adapter of November 7: handles its faults around the client that is generated from openapi.yaml.

Of 100 valid requests some 9 get 400, 401, 403, 404 or 405, and a few 402; some bodies are empty; a response takes up to
30 s; `/movies` redirects, once to http://; an older schema has ids and titles only. So any 4xx but 422 is temporary, a
404 never means that something was deleted, a request is repeated within one deadline, and a redirect never leads to
another server.
"""

import asyncio
import logging
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx

from backend.providers.november7.generated import Client
from backend.providers.november7.generated.api.movies import list_movies
from backend.providers.november7.generated.models import Movie
from lockstep.http.client import HEADERS, Operation, provider_errors, read_object, trusted
from lockstep.http.errors import MalformedResponse, ProviderError, Refused, ServerError, Unreachable
from lockstep.http.figures import measured
from lockstep.http.json_text import excerpt, is_integer, is_text

ALL = 1_000  # a limit beyond the number of movies
ATTEMPT_SECONDS = 1.0  # most responses take a tenth of that; slower requests are repeated
PAUSES = (0.0, 0.02, 0.05, 0.1, 0.0)  # seconds after each attempt; all five fail once in a hundred thousand requests
MAX_TITLE, MAX_TEXT = 1_000, 100_000
MAX_EXAMPLES = 5  # ids of left out movies in a log line

logger = logging.getLogger(__name__)

Observe = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RemoteMovie:
    """A movie of the provider. A value that is invalid, or that an older schema lacks, is None."""

    id: UUID
    title: str
    description: str | None = None
    image_url: str | None = None
    rating: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The provider's movies, and the total that it announces.

    `left_out` has the ids of movies without a valid title. Movies without an id are not counted.
    """

    total: int
    movies: Sequence[RemoteMovie]
    left_out: frozenset[UUID] = frozenset()

    @property
    def ids(self) -> set[UUID]:
        """The ids of all movies, including those that were left out."""
        return {movie.id for movie in self.movies} | self.left_out

    @property
    def is_whole(self) -> bool:
        """Whether it is complete: only then a movie that it lacks does not exist at the provider."""
        return 0 < self.total == len(self.ids)


class November7:
    """One provider. `deadline` is in seconds, for a listing with all its attempts.

    Raises only ProviderErrors. `observe` is called with the outcome of each attempt: its status, or the kind of error.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = 2.5,
        observe: Observe = lambda outcome: None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._deadline = deadline
        self._observe = observe
        self._base = httpx.URL(url)
        hooks = {"request": [self._stay_here]}
        self._client = Client(
            base_url=url,
            headers=HEADERS,
            follow_redirects=True,
            verify_ssl=trusted(),
            httpx_args={"event_hooks": hooks, "max_redirects": 3, "transport": transport},
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def listing(self) -> Listing:
        """All movies, in the provider's order. Raises the error of the last attempt if none succeeds in time."""
        last: ProviderError = Unreachable(f"no answer within {self._deadline:g} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                for pause in PAUSES:
                    try:
                        return await self._attempt()
                    except Refused:
                        raise
                    except ProviderError as error:
                        last = error
                    await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        raise last

    async def _attempt(self) -> Listing:
        try:
            listing = await self._request()
        except ProviderError as error:
            self._observe(_outcome(error))
            raise
        self._observe("200")
        return listing

    async def _request(self) -> Listing:
        operation = Operation(write=False)
        with measured("november7"), provider_errors(operation, ATTEMPT_SECONDS):
            async with asyncio.timeout(ATTEMPT_SECONDS):
                # The generated function reads a body of any size, and fails for one invalid movie.
                call = list_movies._get_kwargs(limit=ALL)
                async with self._client.get_async_httpx_client().stream(**call) as answer:
                    if answer.status_code == 200:
                        return _listing(await read_object(answer))
        raise _refusal(answer.status_code)

    async def _stay_here(self, request: httpx.Request) -> None:
        """Sends the request to the provider's scheme, host and port, whatever URL a redirect names."""
        base = self._base
        request.url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
        request.headers["Host"] = base.netloc.decode("ascii")


def _outcome(error: ProviderError) -> str:
    """The label of an error in metrics: the status of the response, or what was wrong."""
    if isinstance(error.__cause__, _Status):
        return str(error.__cause__)
    return "garbled" if isinstance(error, MalformedResponse) else type(error).__name__.lower()


class _Status(Exception):
    """The status of a response without success; the cause of its ProviderError."""


def _refusal(status: int) -> ProviderError:
    kind = Refused if status == 422 else ServerError
    error = kind(f"it answered {status}")
    error.__cause__ = _Status(status)
    return error


def _listing(page: Mapping[str, object]) -> Listing:
    total, items = page.get("total"), page.get("items")
    if type(total) is not int or not is_integer(total) or not isinstance(items, list):
        raise MalformedResponse(f"not a page of movies: {excerpt(page)}")
    read = [movie for item in items if (movie := _movie(item))]
    left_out = frozenset(movie.id for movie in read if not movie.title)
    if len(left_out) or len(read) < len(items):
        logger.warning(
            "movies left out: %d without a valid title (%s), %d without an id",
            len(left_out), ", ".join(sorted(map(str, left_out))[:MAX_EXAMPLES]), len(items) - len(read),
        )  # fmt: skip
    return Listing(total, [movie for movie in read if movie.title], left_out)


def _movie(item: object) -> RemoteMovie | None:
    """The movie; None without an id. An invalid title is empty, any other invalid value None."""
    try:
        movie = Movie.from_dict(item)  # type: ignore[arg-type]  # it raises for anything but an object
    except (ValueError, KeyError, TypeError, AttributeError):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            return RemoteMovie(id=UUID(item["id"]), title="")  # type: ignore[index]
        return None
    image = _text(movie.image_url, MAX_TEXT)
    return RemoteMovie(
        id=movie.id,
        title=_text(movie.title, MAX_TITLE) or "",
        description=_text(movie.description, MAX_TEXT),
        image_url=image if image and image.startswith(("https://", "http://")) else None,
        rating=_rating(movie.rating),
    )


def _text(value: object, max_length: int) -> str | None:
    text = value.replace("\0", "").strip()[:max_length] if isinstance(value, str) else None
    return text if is_text(text) else None


def _rating(value: object) -> float | None:
    """The number as a float; None for another value, and for an integer beyond the range of floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= sys.float_info.max else None
