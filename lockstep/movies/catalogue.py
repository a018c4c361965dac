"""The provider's movies, kept here. They are brought in by one process at a time, whoever asks: nobody else calls.

A refresh that fails, is empty or lacks a part erases nothing. What a whole listing lacks is noted, and goes only when
somebody of the staff says so. After a failure nobody calls for 1 s, then 2 s, and so on: the provider may get well.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from lockstep.api.errors import Unavailable
from lockstep.api.server.slots import remote_wait
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.database_errors import is_transient
from lockstep.changes.sql_file import load
from lockstep.delivery.audit import Finding
from lockstep.movies.metrics import PROVIDER_ANSWERS
from lockstep.movies.models import Catalogue, Movie, Tally
from lockstep.providers.errors import Garbled, ProviderError
from lockstep.providers.november7 import Listing, November7, RemoteMovie

logger = logging.getLogger(__name__)

SQL = load(Path(__file__).parent / "sql" / "catalogue.sql")
ORIGIN = "november7"
FETCH_SECONDS = 2.5  # for one fetch with all its attempts: a request of ours is answered within 3 s
LEASE = timedelta(seconds=FETCH_SECONDS + 2)
PATIENCE_SECONDS = 2.8
MISSED = timedelta(seconds=30)  # how old the movies are before one that is not among them is looked for at the provider
EVER = timedelta(days=36_500)
LOOK_SECONDS = 0.05
KNOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old what is answered is, in seconds, and whether that is more than it should be."""

    age: int
    is_stale: bool


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh brought: movies that came, and how many are missing there by now."""

    movies: int
    total: int
    missing: int
    whole: bool


class Fetching(Exception):
    """Somebody else is fetching them just now or has done so, or the provider failed a moment ago."""


class Remembered:
    """When the catalogue was refreshed, asked of the database once a second at most."""

    def __init__(self) -> None:
        self._refreshed: datetime | None = None
        self._until = 0.0

    def refreshed(self) -> datetime | None:
        """None while nothing has ever come in: that is never remembered."""
        if self._refreshed is None or time.monotonic() >= self._until:
            self._refreshed = Catalogue.objects.values_list("refreshed", flat=True).first()
            self._until = time.monotonic() + KNOWN_SECONDS
        return self._refreshed

    def forget(self) -> None:
        """The next one asks."""
        self._refreshed = None


remembered = Remembered()


def freshness() -> Freshness:
    """That of what is here, which is fetched first when nothing is. Raises Unavailable when there is nothing at all."""
    refreshed = remembered.refreshed() or _first_time()
    age = max(0, int((timezone.now() - refreshed).total_seconds()))
    return Freshness(age, age > settings.MOVIES_STALE_SECONDS)


def refresh(*, now: bool = False, older_than: timedelta = timedelta(0)) -> Refreshed:
    """Brings in what the provider has, where what is here is so old; with `now` also shortly after a failure.

    Raises Fetching, and ProviderError when the provider does not give anything that can be used.
    """
    if not _execute("claim", lease=LEASE, now=now, older_than=older_than):
        raise Fetching
    try:
        with remote_wait("movies"):  # the claim sees to it that there is one
            listing = _fetch()
        return _take_in(listing)
    except ProviderError as error:
        _execute("fail", outcome=str(error)[:500])
        raise
    except Exception as error:
        if is_transient(error):
            raise  # the database is the one that fails: it can note nothing, and the claim ends by itself
        logger.exception("the movies could not be refreshed")
        _execute("fail", outcome=f"the refresh failed: {type(error).__name__}")
        raise Garbled("what it sent could not be kept") from error
    except BaseException:
        _execute("fail", outcome="the refresh was broken off")
        raise


def look_again() -> bool:
    """For what is not here: brings the movies in unless that was done a moment ago, and says whether it did.

    Whoever looks for something while somebody else fetches does not wait for it. Most searches without a result come
    when nobody may ask: they read that, because a claim that fails locks the one row all the same.
    """
    at = timezone.now()
    if not Catalogue.objects.filter(refreshed__lte=at - MISSED, retry_at__lte=at, lease_until__lte=at).exists():
        return False
    try:
        refresh(older_than=MISSED)
    except (Fetching, ProviderError):
        return False
    return True


def refresh_when_due() -> None:
    """Periodic work: brings them in unless they are young enough. A provider that fails is asked again later.

    What came in later than now came before the clock stepped back.
    """
    young = Now() - timedelta(seconds=settings.MOVIES_REFRESH_SECONDS)
    if Catalogue.objects.filter(complete__gt=young, complete__lte=Now()).exists():
        return
    try:
        refresh()
    except (Fetching, ProviderError):
        return  # the catalogue's row says so


def prune() -> int:
    """Deletes the movies that the provider's whole listings lack; how many."""
    with attributed_transaction(origin=ORIGIN):
        return _execute("prune")


def missing() -> int:
    """How many of our movies whole listings lack."""
    return Movie.objects.alive().exclude(missing_since=None).count()


def check_tallies() -> Finding:
    """Whether the counted votes are what the ratings sum to, as a part of the audit."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["recount"])
        differing = [f"movie {key}" for (key,) in cursor.fetchall()]
    return Finding("votes = ratings", Tally.objects.count(), differing)


def _first_time() -> datetime:
    """Waits for the very first movies: fetches them, or sees that somebody else does."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            refresh(older_than=EVER)
        except Fetching:
            if _failed_a_moment_ago():
                break
            with remote_wait("movies, first"):
                time.sleep(LOOK_SECONDS)
        except ProviderError:
            break
        if refreshed := remembered.refreshed():
            return refreshed
    raise Unavailable("There are no movies here yet, and their provider does not answer.", retry_after=2)


def _failed_a_moment_ago() -> bool:
    now = timezone.now()
    return Catalogue.objects.filter(refreshed=None, lease_until__lte=now, retry_at__gt=now).exists()


def _fetch() -> Listing:
    async def fetch() -> Listing:
        observe: Callable[[str], None] = lambda outcome: PROVIDER_ANSWERS.labels(outcome).inc()  # noqa: E731
        async with November7(settings.MOVIES_PROVIDER_URL, deadline=FETCH_SECONDS, observe=observe) as provider:
            return await provider.listing()

    return asyncio.run(fetch())


def _take_in(listing: Listing) -> Refreshed:
    came = {movie.id: _row(movie) for movie in listing.movies}
    with attributed_transaction(origin=ORIGIN):
        _execute("take_in", movies=json.dumps(list(came.values())))
        if listing.is_whole:
            _execute("note_missing", known=list(listing.ids))
        outcome = f"{len(came):,} of {listing.total:,} movies"
        if listing.left_out:
            outcome += f", {len(listing.left_out):,} left out"
        if came:
            _execute("finish", whole=listing.is_whole, outcome=outcome)
        else:
            _execute("fail", outcome=f"{outcome}: nothing was erased")
    remembered.forget()
    return Refreshed(len(came), listing.total, missing(), listing.is_whole)


def _row(movie: RemoteMovie) -> dict[str, Any]:
    return {
        "remote_id": str(movie.id),
        "title": movie.title,
        "description": movie.description,
        "image_url": movie.image_url,
        "rating": movie.rating,
    }


def _execute(name: str, **parameters: Any) -> int:  # noqa: ANN401 - values of columns
    """How many rows a statement changed."""
    with connection.cursor() as cursor:
        cursor.execute(SQL[name], parameters)
        return int(cursor.rowcount)
