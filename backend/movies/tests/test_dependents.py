"""Votes count as long as their movie and their user's account are there."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection, connections

from backend.movies import actions
from backend.movies.catalogue import check_tallies
from backend.movies.models import Movie, Rating, Tally
from lockstep.rest.errors import Invalid
from tests.support import Cast, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

RATINGS = "/api/v1/movies/ratings/"


@pytest.fixture
def movie(db: None) -> Movie:
    return Movie.objects.create(remote_id="019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b", title="A title")


def votes(movie: Movie) -> tuple[int, int]:
    return Tally.objects.values_list("upvotes", "downvotes").get(movie=movie)


@pytest.mark.parametrize("way", ["API", "psql"])
def test_votes_of_a_deleted_account_no_longer_count(cast: Cast, movie: Movie, way: str):
    for person in (cast.owner, cast.colleague):
        person.post(RATINGS, {"movie_id": str(movie.pk), "rating_type": "UPVOTE"})
    assert votes(movie) == (2, 0)
    if way == "API":
        assert cast.owner.delete_account().status_code == 204
    else:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_user SET deleted = now() WHERE username = 'owner'")
    assert votes(movie) == (1, 0)
    assert check_tallies().differing == []


def test_rating_of_a_deleted_movie_is_gone(cast: Cast, movie: Movie):
    made = cast.owner.post(RATINGS, {"movie_id": str(movie.pk), "rating_type": "UPVOTE"}).json()
    Movie.objects.update(deleted="2026-01-01T00:00Z")
    path, body = f"{RATINGS}{made['id']}/", {"rating_type": "DOWNVOTE"}
    assert cast.owner.get(path).status_code == 404
    assert cast.owner.client.patch(path, body, content_type="application/json").status_code == 404
    assert cast.owner.delete(path).status_code == 404
    assert cast.owner.get(RATINGS).json()["results"] == []
    assert votes(movie) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_vote_beside_the_deletion_of_its_movie_is_refused(cast: Cast, movie: Movie, database: psycopg.Connection):
    def rate() -> str:
        try:
            actions.create_rating(actor="", user=cast.owner.user, movie_id=movie.pk, rating_type="UPVOTE")
        except Invalid as error:
            return str(error.errors[0]["detail"])
        finally:
            connections.close_all()
        return "rated"

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("UPDATE movies_movie SET deleted = now()")
            outcome = pool.submit(rate)
            eventually(lambda: any_lock_waiter(database))
        assert outcome.result() == "There is no such movie."
    assert not Rating.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_vote_inserted_during_the_deletion_of_its_movie_is_deleted(
    cast: Cast, movie: Movie, database: psycopg.Connection
):
    def delete() -> None:
        try:
            Movie.objects.update(deleted="2026-01-01T00:00Z")
        finally:
            connections.close_all()

    insert = "INSERT INTO movies_rating (user_id, movie_id, rating_type) VALUES (%s, %s, 'UPVOTE')"
    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute(insert, [cast.owner.user.pk, movie.pk])
            deletion = pool.submit(delete)
            eventually(lambda: any_lock_waiter(database))
        deletion.result()
    assert Rating.objects.get().deleted is not None
    assert votes(movie) == (0, 0)
