"""Writes of ratings. Each is one transaction, in which the database counts the votes, too."""

from typing import Any
from uuid import UUID

import psycopg
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from lockstep.api.concurrency import ANY_VERSION, Match, lock
from lockstep.api.errors import Invalid
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.entities import Somebody
from lockstep.movies.models import Movie, Rating

NO_MOVIE = "There is no such movie."
REFUSALS = {  # by the constraint that a vote hurts
    "movies_rating_once": "You have rated this movie already: change that rating.",
    "movies_rating_movie_id_alive": NO_MOVIE,  # it was deleted meanwhile
}


def create_rating(*, actor: str, user: Somebody, movie_id: UUID, rating_type: str) -> Rating:
    """A user's vote on a movie, by our id or the provider's. Raises Invalid for no movie, and for a second vote."""
    movie = Movie.objects.alive().filter(Q(pk=movie_id) | Q(remote_id=movie_id)).first()
    if movie is None:
        raise Invalid({"movie_id": NO_MOVIE})
    try:
        with attributed_transaction(actor=actor), transaction.atomic():
            return Rating.objects.create(user=user, movie=movie, rating_type=rating_type)
    except IntegrityError as error:
        hurt = error.__cause__.diag.constraint_name if isinstance(error.__cause__, psycopg.Error) else None
        if hurt not in REFUSALS:
            raise
        raise Invalid({"movie_id": REFUSALS[hurt]}) from error


def update_rating(*, actor: str, user: Somebody, key: UUID, match: Match = ANY_VERSION, **changes: Any) -> None:  # noqa: ANN401
    """Changes one's vote. Raises NotFound, OutOfDate."""
    with attributed_transaction(actor=actor):
        rating = _locked(user, key, match)
        Rating.objects.filter(pk=rating.pk).update(**changes)


def delete_rating(*, actor: str, user: Somebody, key: UUID, match: Match = ANY_VERSION) -> None:
    """Takes one's vote back. Raises NotFound, OutOfDate."""
    with attributed_transaction(actor=actor):
        rating = _locked(user, key, match)
        Rating.objects.filter(pk=rating.pk).update(deleted=Now())


def _locked(user: Somebody, key: UUID, match: Match) -> Rating:
    return lock(Rating.objects.alive().of(user), match, "You have no such rating.", pk=key)
