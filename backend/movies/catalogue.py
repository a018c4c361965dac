"""The local catalogue of the provider's movies. One process at a time refreshes it.

A refresh that fails, is empty or is incomplete deletes nothing. Movies that a complete listing lacks are marked as
missing, and only staff delete them. After a failure the next refresh waits for 1 s, then 2 s, and so on.
"""

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from backend.movies.metrics import count_outcome
from backend.movies.models import Catalogue, Movie, Tally
from backend.providers.november7 import Listing, November7, RemoteMovie
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.database_errors import is_transient
from lockstep.delivery.audit import Finding
from lockstep.delivery.providers import Freshness as ProviderFreshness
from lockstep.http.errors import MalformedResponse, ProviderError
from lockstep.rest.errors import Unavailable
from lockstep.rest.server.slots import remote_wait
from lockstep.sql import statements

logger = logging.getLogger(__name__)

SQL = statements(__file__, "catalogue")
ORIGIN = "november7"
FETCH_SECONDS = 2.5  # for one fetch with all its attempts: a request must be answered within 3 s
LEASE = timedelta(seconds=FETCH_SECONDS + 2)
WAIT_SECONDS = 2.8
MISS_TTL = timedelta(seconds=30)  # the minimum age of the catalogue before a miss refreshes it
NEVER_FETCHED = timedelta(days=36_500)
POLL_SECONDS = 0.05
CACHE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of the catalogue in seconds, and whether it exceeds MOVIES_STALE_SECONDS."""

    age: int
    is_stale: bool


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The result of a refresh: the received movies, the provider's total, and the missing ones."""

    movies: int
    total: int
    missing: int
    whole: bool


class RefreshInProgress(Exception):
    """Another process is refreshing or has just refreshed the catalogue, or the provider failed recently."""


class FreshnessCache:
    """The time of the last refresh, read from the database at most once in CACHE_SECONDS."""

    def __init__(self) -> None:
        self._refreshed: datetime | None = None
        self._until = 0.0

    def refreshed(self) -> datetime | None:
        """The time, or None before the first refresh, which is not cached."""
        if self._refreshed is None or time.monotonic() >= self._until:
            self._refreshed = Catalogue.objects.values_list("refreshed", flat=True).first()
            self._until = time.monotonic() + CACHE_SECONDS
        return self._refreshed

    def clear(self) -> None:
        """Makes the next call read the database."""
        self._refreshed = None


freshness_cache = FreshnessCache()


def freshness() -> Freshness:
    """The freshness of the catalogue, which is fetched if it is empty. Raises Unavailable if that fails."""
    refreshed = freshness_cache.refreshed() or _first_refresh()
    age = max(0, int((timezone.now() - refreshed).total_seconds()))
    return Freshness(age, age > settings.MOVIES_STALE_SECONDS)


def refresh(*, now: bool = False, older_than: timedelta = timedelta(0)) -> RefreshResult:
    """Refreshes the catalogue if it is older than `older_than`; with `now` even shortly after a failure.

    Raises RefreshInProgress, and ProviderError when the provider returns nothing usable.
    """
    if not _execute("claim", lease=LEASE, now=now, older_than=older_than):
        raise RefreshInProgress
    try:
        with remote_wait("movies"):  # the claim allows only one
            listing = _fetch()
        return _store(listing)
    except ProviderError as error:
        _execute("fail", outcome=str(error)[:500])
        raise
    except Exception as error:
        if is_transient(error):
            raise  # the database failed: it cannot store the outcome, and the claim expires by itself
        logger.exception("the movies could not be refreshed")
        _execute("fail", outcome=f"the refresh failed: {type(error).__name__}")
        raise MalformedResponse("its response could not be stored") from error
    except BaseException:
        _execute("fail", outcome="the refresh was aborted")
        raise


def refresh_on_miss() -> bool:
    """Refreshes the catalogue after a miss, unless it is younger than MISS_TTL. Returns whether it did.

    Does not wait for a refresh of another process. Most misses come when no refresh is allowed: they read that first,
    because even a failing claim would lock the row.
    """
    at = timezone.now()
    if not Catalogue.objects.filter(refreshed__lte=at - MISS_TTL, retry_at__lte=at, lease_until__lte=at).exists():
        return False
    try:
        refresh(older_than=MISS_TTL)
    except (RefreshInProgress, ProviderError):
        return False
    return True


def refresh_when_due() -> None:
    """Periodic work: refreshes the catalogue after MOVIES_REFRESH_SECONDS. A failure is retried later.

    A time in the future is from before the clock stepped back.
    """
    young = Now() - timedelta(seconds=settings.MOVIES_REFRESH_SECONDS)
    if Catalogue.objects.filter(complete__gt=young, complete__lte=Now()).exists():
        return
    try:
        refresh()
    except (RefreshInProgress, ProviderError):
        return  # recorded in the catalogue's row


def catalogue_freshness() -> ProviderFreshness:
    """The catalogue's freshness, for the console."""
    row = Catalogue.objects.first()
    if row is None or row.refreshed is None:
        return ProviderFreshness("The catalogue was never fetched.", None, is_well=False)
    age = (timezone.now() - row.refreshed).total_seconds()
    failed = f" {row.failures} refreshes have failed since then: {row.outcome}" if row.failures else ""
    is_well = age <= settings.MOVIES_STALE_SECONDS
    return ProviderFreshness(f"The catalogue is {age:.0f} s old.{failed}", row.refreshed, is_well=is_well)


def prune() -> int:
    """Deletes the movies that complete listings lack. Returns the number deleted."""
    with attributed_transaction(origin=ORIGIN):
        return _execute("prune")


def missing() -> int:
    """The number of movies that complete listings lack."""
    return Movie.objects.alive().exclude(missing_since=None).count()


def check_tallies() -> Finding:
    """Audits that the counted votes are the sums of the ratings."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["recount"])
        differing = [f"movie {key}" for (key,) in cursor.fetchall()]
    return Finding("votes = ratings", Tally.objects.count(), differing)


def _first_refresh() -> datetime:
    """Waits for the first movies: fetches them, or waits for another process that does."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        try:
            refresh(older_than=NEVER_FETCHED)
        except RefreshInProgress:
            if _failed_recently():
                break
            with remote_wait("movies, first"):
                time.sleep(POLL_SECONDS)
        except ProviderError:
            break
        if refreshed := freshness_cache.refreshed():
            return refreshed
    raise Unavailable("The catalogue is empty, and its provider does not respond.", retry_after=2)


def _failed_recently() -> bool:
    now = timezone.now()
    return Catalogue.objects.filter(refreshed=None, lease_until__lte=now, retry_at__gt=now).exists()


def _fetch() -> Listing:
    async def fetch() -> Listing:
        async with November7(settings.MOVIES_PROVIDER_URL, deadline=FETCH_SECONDS, observe=count_outcome) as provider:
            return await provider.listing()

    return asyncio.run(fetch())


def _store(listing: Listing) -> RefreshResult:
    received = {movie.id: _row(movie) for movie in listing.movies}
    with attributed_transaction(origin=ORIGIN):
        _execute("upsert", movies=json.dumps(list(received.values())))
        if listing.is_whole:
            _execute("note_missing", known=list(listing.ids))
        outcome = f"{len(received):,} of {listing.total:,} movies"
        if listing.left_out:
            outcome += f", {len(listing.left_out):,} left out"
        if received:
            _execute("finish", whole=listing.is_whole, outcome=outcome)
        else:
            _execute("fail", outcome=f"{outcome}: nothing was deleted")
    freshness_cache.clear()
    return RefreshResult(len(received), listing.total, missing(), listing.is_whole)


def _row(movie: RemoteMovie) -> dict[str, object]:
    return {
        "remote_id": str(movie.id),
        "title": movie.title,
        "description": movie.description,
        "image_url": movie.image_url,
        "rating": movie.rating,
    }


def _execute(name: str, **parameters: Any) -> int:  # noqa: ANN401 - values of columns
    """Executes a statement. Returns the number of changed rows."""
    with connection.cursor() as cursor:
        cursor.execute(SQL[name], parameters)
        return int(cursor.rowcount)
