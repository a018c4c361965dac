"""Searching the movies that are here."""

import pytest

from backend.movies.models import Movie, Rating
from tests.support import Cast, Person

pytestmark = pytest.mark.django_db

PATH = "/api/v1/movies/"


def search(person: Person, query: str = "") -> dict:
    answer = person.get(f"{PATH}{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def titles(person: Person, query: str = "") -> list[str]:
    return [one["title"] for one in search(person, query)["results"]]


def vote(person: Person, movie: Movie, rating_type: str) -> None:
    assert person.post(f"{PATH}ratings/", {"movie_id": movie.pk, "rating_type": rating_type}).status_code == 201


def test_a_page_of_movies(cast: Cast, movies: list[Movie]):
    answer = cast.owner.get(PATH)
    body = answer.json()
    assert list(body) == ["count", "next", "previous", "results", "stale"]
    assert (body["count"], len(body["results"]), body["previous"], body["stale"]) == (96, 10, None, False)
    assert body["next"].endswith(f"{PATH}?page=2")
    assert 0 <= int(answer["Age"]) < 60
    first = body["results"][0]
    assert first == {
        "id": str(movies[0].pk),
        "title": movies[0].title,
        "description": movies[0].description,
        "image_url": movies[0].image_url,
        "rating": movies[0].rating,
        "upvotes": 0,
        "downvotes": 0,
        "my_rating": None,
    }
    assert cast.owner.get(f"{PATH}{first['id']}/").json() == first
    assert cast.owner.get(f"{PATH}{movies[0].remote_id}").json() == first


@pytest.mark.parametrize("query", ["?limit=7", "?skip=0&limit=7", "?page=1&limit=50", "?limit=1000", "?group=title"])
def test_page_links_cover_the_whole_list_in_both_directions(cast: Cast, movies: list[Movie], query: str):
    there, back, last, following = [], [], None, f"{PATH}{query}"
    while following:
        last, body = following, cast.owner.get(following).json()
        there += [one["id"] for one in body["results"]]
        following = body["next"]
    while last:
        body = cast.owner.get(last).json()
        back = [one["id"] for one in body["results"]] + back
        last = body["previous"]
    assert there == back
    assert len(there) == len(set(there)) == (68 if "group" in query else 96)


def test_words_are_searched_in_titles_and_descriptions(cast: Cast, movies: list[Movie]):
    found = search(cast.owner, "?query=qUIET&limit=1000")
    assert found["count"] == len([movie for movie in movies if "Quiet" in movie.title]) > 0
    assert {one["title"] for one in found["results"]} == {m.title for m in movies if "Quiet" in m.title}
    both = search(cast.owner, "?query=harbour quiet&limit=1000")["results"]
    assert {one["title"] for one in both} == {"The Quiet Harbour"}
    described = search(cast.owner, "?query=night train&limit=1000")["results"]
    assert described
    assert all("night train" in one["description"] for one in described)
    for nothing in ("%", "_", "nowhere", "\\", "' OR 1=1"):
        assert search(cast.owner, f"?query={nothing.replace('%', '%25')}")["count"] == 0
    assert cast.owner.get(f"{PATH}?query=%00").status_code == 400


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "skip=-1", "limit=0", "limit=1001", "ordering=id", "group=all", f"query={'x' * 201}"]
)
def test_invalid_parameters_are_400(cast: Cast, movies: list[Movie], query: str):
    answer = cast.owner.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, query.partition("=")[0])


def test_each_movie_has_its_votes_and_the_users_own(cast: Cast, movies: list[Movie]):
    vote(cast.owner, movies[0], "UPVOTE")
    vote(cast.colleague, movies[0], "DOWNVOTE")
    vote(cast.colleague, movies[1], "UPVOTE")
    shown = [(m["upvotes"], m["downvotes"], m["my_rating"]) for m in search(cast.owner)["results"][:3]]
    assert shown == [(1, 1, "UPVOTE"), (1, 0, None), (0, 0, None)]
    assert search(cast.colleague)["results"][0]["my_rating"] == "DOWNVOTE"


def test_nine_of_ten_upvotes_rank_above_one_of_one(cast: Cast, movies: list[Movie]):
    """One of one ranks below nine of ten; no votes rank below both, and above only downvotes."""
    one, many = movies[:2]
    Rating.objects.create(movie=one, user=cast.owner.user, rating_type="UPVOTE")
    people = [type(cast.owner.user).objects.create(username=f"p{n}") for n in range(10)]
    Rating.objects.bulk_create(
        Rating(movie=many, user=person, rating_type="UPVOTE" if n else "DOWNVOTE") for n, person in enumerate(people)
    )
    best = [one["id"] for one in search(cast.owner, "?ordering=-votes&limit=1000")["results"]]
    assert best[:2] == [str(many.pk), str(one.pk)]
    assert search(cast.owner, "?ordering=votes&limit=1000")["results"][-1]["id"] == str(many.pk)
    many.refresh_from_db()
    assert many.tally.score == pytest.approx(0.5958, abs=1e-3)  # 9 of 10, as the literature has it


def test_movies_are_sorted_by_the_providers_rating_with_nulls_last(cast: Cast, movies: list[Movie]):
    Movie.objects.filter(pk=movies[5].pk).update(rating=None)
    ratings = [one["rating"] for one in search(cast.owner, "?ordering=-rating&limit=1000")["results"]]
    assert ratings[-1] is None
    assert ratings[:-1] == sorted(ratings[:-1], reverse=True)
    assert search(cast.owner, "?ordering=rating&limit=1000")["results"][-1]["rating"] is None


def test_equal_titles_are_grouped_on_demand(cast: Cast, movies: list[Movie]):
    same = [movie for movie in movies if movie.title == "The Quiet Harbour"]
    assert len(same) == 2
    vote(cast.owner, same[1], "UPVOTE")
    [found] = search(cast.owner, "?query=Quiet Harbour&group=title")["results"]
    assert found["id"] == str(same[1].pk)
    assert found["same_title"] == [str(same[0].pk)]
    assert search(cast.owner, "?group=title")["count"] == 68


@pytest.mark.parametrize("limit", [1, 96])
@pytest.mark.parametrize("group", ["", "&group=title"])
def test_a_search_costs_one_query_of_movies(
    cast: Cast, movies: list[Movie], limit: int, group, django_assert_num_queries
):
    search(cast.owner)
    with django_assert_num_queries(3):  # session, the count, the page
        search(cast.owner, f"?query=the&limit={limit}{group}")


def test_an_unknown_movie_is_404(cast: Cast, movies: list[Movie]):
    assert cast.owner.get(f"{PATH}00000000-0000-7000-8000-000000000000/").status_code == 404
