"""Queries of the movies' views."""

from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import F, OrderBy, Window
from django.db.models.functions import RowNumber

from backend.entities.folding import Fold, SortKey
from backend.movies.models import Movie, MovieQuerySet, Rating
from lockstep.rest.errors import NotFound
from lockstep.rest.users import AnyUser

ORDERINGS: dict[str, list[OrderBy]] = {
    "title": [SortKey("title").asc(), F("id").asc()],
    "-title": [SortKey("title").desc(), F("id").desc()],
    "votes": [F("tally__score").asc(), F("id").asc()],
    "-votes": [F("tally__score").desc(), F("id").desc()],
    "rating": [F("rating").asc(nulls_last=True), F("id").asc()],
    "-rating": [F("rating").desc(nulls_last=True), F("id").desc()],
}


def movies(user: AnyUser, query: str = "") -> MovieQuerySet:
    """Matching movies, with all votes and this user's own."""
    return Movie.objects.alive().matching(query).counted_for(user)


def one_of_each_title(rows: MovieQuerySet) -> MovieQuerySet:
    """The movie with the best votes of each title, with the ids of all movies of this title."""
    best_first = [F("tally__score").desc(), F("id").asc()]
    return rows.annotate(
        place=Window(RowNumber(), partition_by=Fold("title"), order_by=best_first),
        of_this_title=Window(ArrayAgg("id"), partition_by=Fold("title")),
    ).filter(place=1)


def movie(key: str, user: AnyUser) -> Movie:
    """A movie by our id, or the provider's. Raises NotFound."""
    found = movies(user).with_id(key).first()
    if found is None:
        raise NotFound("There is no such movie.")
    return found


def rating(key: UUID | str, user: AnyUser) -> Rating:
    """A rating of this user. Raises NotFound."""
    found = Rating.objects.alive().of(user).filter(pk=key).first()
    if found is None:
        raise NotFound("You have no such rating.")
    return found
