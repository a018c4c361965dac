"""November 7's temper, around the client that is generated from openapi.yaml.

Of 100 good requests some 9 are answered 400, 401, 403, 404 or 405, now and then 402; bodies are empty at times; answers
take up to 30 s; `/movies` redirects, once to http://; an older schema has ids and titles only. So: any 4xx but 422 may
pass, 404 never means that something is gone, an answer is asked for again within one deadline, and no redirect leads
anywhere else.
"""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx

from lockstep.providers.errors import Failing, Garbled, ProviderError, Refused, Unreachable
from lockstep.providers.http import LARGEST_ANSWER, USER_AGENT, Operation, provider_errors, trusted
from lockstep.providers.november7.generated import Client
from lockstep.providers.november7.generated.api.movies import list_movies
from lockstep.providers.november7.generated.models import Movie, MoviePage
from lockstep.providers.november7.generated.types import UNSET

ALL = 1_000  # a limit that gives all of them
ATTEMPT_SECONDS = 1.0  # most answers take a tenth of that; who is slower is asked again
PAUSES = (0.0, 0.02, 0.05, 0.1, 0.0)  # seconds after each attempt: of five, one in a hundred thousand has no luck
LONGEST_TITLE, LONGEST_TEXT = 1_000, 100_000

Observe = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RemoteMovie:
    """A movie as the provider has it. What an older schema leaves out is None, and so is what makes no sense."""

    id: UUID
    title: str
    description: str | None = None
    image_url: str | None = None
    rating: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Some of its movies, and how many it says there are."""

    total: int
    movies: Sequence[RemoteMovie]

    @property
    def is_whole(self) -> bool:
        """Whether that is all of them: only then what is not among them is not there."""
        return 0 < self.total == len({movie.id for movie in self.movies})


class November7:
    """One provider. `deadline` is seconds for an operation with all its attempts.

    Raises ProviderErrors and nothing else. `observe` is told how each attempt ended: its status, or what was wrong.
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
        hooks = {"request": [self._stay_here], "response": [_refuse_too_large]}
        self._client = Client(
            base_url=url,
            headers={"User-Agent": USER_AGENT},
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

    async def listing(self, *, skip: int = 0, limit: int = ALL, query: str = "") -> Listing:
        """Movies in the provider's order. Raises the error of the last attempt when no attempt succeeds in time."""
        last: ProviderError = Unreachable(f"no answer within {self._deadline:g} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                for pause in PAUSES:
                    try:
                        return await self._attempt(skip, limit, query)
                    except Refused:
                        raise
                    except ProviderError as error:
                        last = error
                    await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - not to be in step with others
        raise last

    async def _attempt(self, skip: int, limit: int, query: str) -> Listing:
        try:
            listing = await self._ask(skip, limit, query)
        except ProviderError as error:
            self._observe(
                str(error.__cause__) if isinstance(error.__cause__, _Status) else type(error).__name__.lower()
            )
            raise
        self._observe("200")
        return listing

    async def _ask(self, skip: int, limit: int, query: str) -> Listing:
        operation = Operation(write=False)
        with provider_errors(operation, ATTEMPT_SECONDS):
            async with asyncio.timeout(ATTEMPT_SECONDS):
                try:
                    answer = await list_movies.asyncio_detailed(
                        client=self._client, skip=skip, limit=limit, query=query or UNSET
                    )
                except httpx.TooManyRedirects as error:
                    raise Garbled("it redirects in a circle") from error
                except (ValueError, KeyError, TypeError, AttributeError) as error:  # of the generated parser
                    raise Garbled(f"not a page of movies: {error!r:.100}") from error
        if answer.status_code == 200 and isinstance(answer.parsed, MoviePage):
            return _listing(answer.parsed)
        raise _refusal(int(answer.status_code))

    async def _stay_here(self, request: httpx.Request) -> None:
        """Wherever a redirect points to: the same server, and not by http where we came by https."""
        base = self._base
        request.url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
        request.headers["Host"] = base.netloc.decode("ascii")


class _Status(Exception):
    """A status that is no success, as the cause of the error that stands for it."""


def _refusal(status: int) -> ProviderError:
    kind = Refused if status == 422 else Failing
    error = kind(f"it answered {status}")
    error.__cause__ = _Status(status)
    return error


async def _refuse_too_large(answer: httpx.Response) -> None:
    if int(answer.headers.get("Content-Length", "0")) > LARGEST_ANSWER:
        raise Garbled(f"an answer of more than {LARGEST_ANSWER} bytes")


def _listing(page: MoviePage) -> Listing:
    if type(page.total) is not int or page.total < 0:
        raise Garbled(f"not a total: {page.total!r:.50}")
    movies = (_movie(item) for item in page.items)
    return Listing(page.total, [movie for movie in movies if movie])


def _movie(item: Movie) -> RemoteMovie | None:
    """None for one without a title: it is left out, and the listing is then not whole."""
    title = _text(item.title, LONGEST_TITLE)
    if not title:
        return None
    image = _text(item.image_url, LONGEST_TEXT)
    rating = item.rating if type(item.rating) in (int, float) else None
    return RemoteMovie(
        id=item.id,
        title=title,
        description=_text(item.description, LONGEST_TEXT),
        image_url=image if image and image.startswith(("https://", "http://")) else None,
        rating=float(rating) if isinstance(rating, (int, float)) and math.isfinite(rating) else None,
    )


def _text(value: object, longest: int) -> str | None:
    return value.replace("\0", "").strip()[:longest] if isinstance(value, str) else None
