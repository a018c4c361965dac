"""Actions on ratings. Each is one transaction, in which triggers count the votes."""

from uuid import UUID

import psycopg
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from backend.movies.models import Movie, Rating
from lockstep.changes.attribution import attributed_transaction
from lockstep.rest.concurrency import ANY_VERSION, Match, lock
from lockstep.rest.errors import Invalid
from lockstep.rest.users import AnyUser

NO_MOVIE = "There is no such movie."
REFUSALS = {  # by the violated constraint
    "movies_rating_once": "You have rated this movie already: change that rating.",
    "movies_rating_movie_id_alive": NO_MOVIE,  # it was deleted meanwhile
}


def create_rating(*, actor: str, user: AnyUser, movie_id: UUID, rating_type: str) -> Rating:
    """Creates a rating of a movie, by our id or the provider's. Raises Invalid, also for a second rating."""
    movie = Movie.objects.alive().with_id(movie_id).first()
    if movie is None:
        raise Invalid({"movie_id": NO_MOVIE})
    try:
        with attributed_transaction(actor=actor), transaction.atomic():
            return Rating.objects.create(user=user, movie=movie, rating_type=rating_type)
    except IntegrityError as error:
        violated = error.__cause__.diag.constraint_name if isinstance(error.__cause__, psycopg.Error) else None
        if violated not in REFUSALS:
            raise
        raise Invalid({"movie_id": REFUSALS[violated]}) from error


def update_rating(*, actor: str, user: AnyUser, key: UUID | str, match: Match = ANY_VERSION, **changes: object) -> None:
    """Changes a rating of the user. Raises NotFound, PreconditionFailed."""
    with attributed_transaction(actor=actor):
        rating = _locked(user, key, match)
        Rating.objects.filter(pk=rating.pk).update(**changes)


def delete_rating(*, actor: str, user: AnyUser, key: UUID | str, match: Match = ANY_VERSION) -> None:
    """Deletes a rating of the user. Raises NotFound, PreconditionFailed."""
    with attributed_transaction(actor=actor):
        rating = _locked(user, key, match)
        Rating.objects.filter(pk=rating.pk).update(deleted=Now())


def _locked(user: AnyUser, key: UUID | str, match: Match) -> Rating:
    return lock(Rating.objects.alive().of(user), match, "You have no such rating.", pk=key)
