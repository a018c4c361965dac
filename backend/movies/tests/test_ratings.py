"""Votes: one of each user for each movie, one's own, and counted right at every instant."""

import random
import threading

import psycopg
import pytest
from django.db import connection

from backend.accounts.models import User
from backend.movies import actions
from backend.movies.catalogue import check_tallies
from backend.movies.models import Movie, Rating, Tally
from lockstep.rest.errors import Invalid
from tests.support import Cast, Person, in_threads

PATH = "/api/v1/movies/ratings/"


def rate(person: Person, movie: Movie, rating_type: str = "UPVOTE"):
    return person.post(PATH, {"movie_id": str(movie.pk), "rating_type": rating_type})


def change(person: Person, method: str, key: str, **values: object):
    return getattr(person.client, method)(f"{PATH}{key}", values, content_type="application/json")


def counted(movie: Movie) -> tuple[int, int]:
    return Tally.objects.values_list("upvotes", "downvotes").get(movie=movie)


@pytest.mark.django_db
class TestRatings:
    def test_rating_is_created_changed_and_deleted(self, cast: Cast, movies: list[Movie]):
        answer = rate(cast.owner, movies[0])
        made = answer.json()
        assert answer.status_code == 201
        assert made.items() >= {"movie_id": str(movies[0].pk), "rating_type": "UPVOTE"}.items()
        assert counted(movies[0]) == (1, 0)
        assert cast.owner.get(f"{PATH}{made['id']}/").json() == made
        for method in ("put", "patch"):
            answer = change(cast.owner, method, made["id"], rating_type="DOWNVOTE")
            assert (answer.status_code, answer.json()["rating_type"]) == (200, "DOWNVOTE")
            assert counted(movies[0]) == (0, 1)
        assert cast.owner.delete(f"{PATH}{made['id']}").status_code == 204
        assert counted(movies[0]) == (0, 0)
        assert cast.owner.get(f"{PATH}{made['id']}").status_code == 404
        assert rate(cast.owner, movies[0], "DOWNVOTE").status_code == 201
        assert counted(movies[0]) == (0, 1)

    def test_movie_can_be_named_by_the_providers_id(self, cast: Cast, movies: list[Movie]):
        answer = cast.owner.post(PATH, {"movie_id": str(movies[0].remote_id), "rating_type": "UPVOTE"})
        assert answer.json()["movie_id"] == str(movies[0].pk)

    def test_second_rating_of_a_movie_is_400(self, cast: Cast, movies: list[Movie]):
        rate(cast.owner, movies[0])
        again = rate(cast.owner, movies[0], "DOWNVOTE")
        assert (again.status_code, again.json()["errors"][0]["field"]) == (400, "movie_id")
        assert counted(movies[0]) == (1, 0)
        assert rate(cast.colleague, movies[0]).status_code == 201

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "movie_id"),
            ({"movie_id": "x"}, "movie_id"),
            ({"movie_id": "00000000-0000-7000-8000-000000000000"}, "movie_id"),
            ({"rating_type": "upvote"}, "rating_type"),
            ({"rating_type": None}, "rating_type"),
            ({"stars": 5}, "stars"),
        ],
    )
    def test_invalid_rating_is_400(self, cast: Cast, movies: list[Movie], body: dict, field: str):
        good = {"movie_id": str(movies[0].pk), "rating_type": "UPVOTE"}
        answer = cast.owner.post(PATH, good | body if body else {})
        assert answer.status_code == 400
        assert field in {error["field"] for error in answer.json()["errors"]}

    def test_rating_is_404_for_other_users(self, cast: Cast, movies: list[Movie]):
        key = rate(cast.owner, movies[0]).json()["id"]
        for person in (cast.colleague, cast.staff):
            assert person.get(f"{PATH}{key}").status_code == 404
            assert change(person, "put", key, rating_type="DOWNVOTE").status_code == 404
            assert person.delete(f"{PATH}{key}").status_code == 404
            assert person.get(PATH).json()["results"] == []
        assert counted(movies[0]) == (1, 0)

    def test_movie_of_a_rating_cannot_be_changed(self, cast: Cast, movies: list[Movie]):
        key = rate(cast.owner, movies[0]).json()["id"]
        answer = change(cast.owner, "put", key, rating_type="UPVOTE", movie_id=str(movies[1].pk))
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "movie_id")
        answer = change(cast.owner, "put", key, rating_type="DOWNVOTE", movie_id=str(movies[0].pk))
        assert (answer.status_code, answer.json()["rating_type"]) == (200, "DOWNVOTE")

    def test_list_has_own_ratings_newest_first(self, cast: Cast, movies: list[Movie]):
        for movie, rating_type in zip(movies[:3], ("UPVOTE", "DOWNVOTE", "UPVOTE"), strict=True):
            rate(cast.owner, movie, rating_type)

        def listed(query: str = "") -> list[str]:
            return [one["movie_id"] for one in cast.owner.get(f"{PATH}{query}").json()["results"]]

        assert listed() == [str(movie.pk) for movie in reversed(movies[:3])]
        assert listed("?rating_type=DOWNVOTE") == [str(movies[1].pk)]
        assert cast.owner.get(f"{PATH}?rating_type=x").status_code == 400

    def test_movies_are_rated_without_the_provider(self, cast: Cast, movies: list[Movie], settings):
        settings.MOVIES_PROVIDER_URL = "http://127.0.0.1:9"
        assert rate(cast.owner, movies[0]).status_code == 201


@pytest.mark.django_db
def test_votes_of_every_writer_are_counted(cast: Cast, movies: list[Movie]):
    people = [cast.owner.user, cast.colleague.user, cast.outsider.user]
    Rating.objects.bulk_create(
        Rating(user=person, movie=movie, rating_type="UPVOTE") for person in people for movie in movies[:2]
    )
    Rating.objects.filter(user=cast.owner.user).update(rating_type="DOWNVOTE")
    assert [counted(movie) for movie in movies[:2]] == [(2, 1)] * 2
    Rating.objects.filter(movie=movies[0]).update(deleted="2026-01-01T00:00:00Z")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM movies_rating WHERE user_id = %s", [cast.colleague.user.pk])
    assert [counted(movie) for movie in movies[:2]] == [(0, 0), (1, 1)]
    assert check_tallies().differing == []
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE movies_rating")
    assert [counted(movie) for movie in movies[:2]] == [(0, 0), (0, 0)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE movies_tally SET upvotes = 7 WHERE movie_id = %s", [movies[0].pk])
    assert check_tallies().differing == [f"movie {movies[0].pk}"]


MISCOUNTED = """
    SELECT t.movie_id, t.upvotes, t.downvotes FROM movies_tally t
    WHERE (t.upvotes, t.downvotes) <> (
        SELECT count(*) FILTER (WHERE rating_type = 'UPVOTE'), count(*) FILTER (WHERE rating_type = 'DOWNVOTE')
        FROM movies_rating r WHERE r.movie_id = t.movie_id AND deleted IS NULL)"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("votes", [300, pytest.param(1_000, marks=pytest.mark.faults)])
def test_votes_at_once_are_one_each_and_counted_right_at_every_instant(
    movies: list[Movie], database: psycopg.Connection, votes: int
):
    people = User.objects.bulk_create(User(username=f"voter-{n}") for n in range(votes // 10))
    over, looks, wrong = threading.Event(), [], []

    def look() -> None:
        while not over.is_set():
            wrong.extend(database.execute(MISCOUNTED).fetchall())
            looks.append(1)

    looking = threading.Thread(target=look)
    looking.start()
    taken = sum(in_threads(16, lambda n: vote_and_think_again(people[n % len(people)], movies[:10], n), range(votes)))
    over.set()
    looking.join()
    assert votes // 2 < taken < votes  # some met their own earlier vote
    assert len(looks) > 10
    assert wrong == []
    assert check_tallies().differing == []
    pairs = list(Rating.objects.alive().values_list("user", "movie"))
    assert len(pairs) == len(set(pairs))


def vote_and_think_again(person: User, movies: list[Movie], seed: int) -> bool:
    """Whether the vote was taken. Some are changed at once, some taken back."""
    dice = random.Random(seed)
    wish = {"movie_id": dice.choice(movies).pk, "rating_type": dice.choice(["UPVOTE", "DOWNVOTE"])}
    try:
        made = actions.create_rating(actor="", user=person, **wish)
        if dice.random() < 0.4:
            actions.update_rating(actor="", user=person, key=made.pk, rating_type="UPVOTE")
        if dice.random() < 0.3:
            actions.delete_rating(actor="", user=person, key=made.pk)
    except Invalid:
        return False
    return True


@pytest.mark.django_db(transaction=True)
def test_one_of_many_concurrent_ratings_is_created(movies: list[Movie]):
    person = User.objects.create(username="voter")

    def vote(_: int) -> bool:
        try:
            actions.create_rating(actor="", user=person, movie_id=movies[0].pk, rating_type="UPVOTE")
        except Invalid:
            return False
        return True

    assert sum(in_threads(8, vote, range(40))) == 1
    assert counted(movies[0]) == (1, 0)
